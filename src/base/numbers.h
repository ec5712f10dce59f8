// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace glmocr {

// For count >= 0 and unit > 0: the parts of `unit` that hold `count`, and their size together.
template <class T>
constexpr T divide_up(T count, T unit) {
  return (count + unit - 1) / unit;
}
template <class T>
constexpr T round_up(T count, T unit) {
  return divide_up(count, unit) * unit;
}

}  // namespace glmocr
