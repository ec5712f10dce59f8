// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace glmocr {

// For count >= 0 and unit > 0: count / unit rounded up, and count rounded up to a multiple of unit.
template <class T>
constexpr T divide_up(T count, T unit) {
  return (count + unit - 1) / unit;
}
template <class T>
constexpr T round_up(T count, T unit) {
  return divide_up(count, unit) * unit;
}

}  // namespace glmocr
