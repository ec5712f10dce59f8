// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <bit>
#include <cmath>
#include <cstdint>

#include "tensor/dtype.h"

// Eight bits: rows of numbers as whole numbers in [-127, 127] and a scale each.
namespace glmocr {

// The largest size of a row's values; infinite or NaN where one of them is not finite. As whole numbers the bits of
// sizes have the same order, and those of NaN come last.
template <class T>
float largest_size(const T* row, std::int64_t n) {
  std::int32_t largest = 0;
  for (std::int64_t i = 0; i < n; ++i) {
    const std::int32_t size = std::bit_cast<std::int32_t>(to_float(row[i])) & 0x7FFFFFFF;
    largest = largest > size ? largest : size;
  }
  return std::bit_cast<float>(largest);
}

// The nearest whole number, ties to even, for sizes below 2^22.
inline float nearest_whole(float value) { return value + 0x1.8p23f - 0x1.8p23f; }

// Rows whose largest value is smaller count as zeros: the inverse of their scale would be infinite.
inline constexpr float kLeastInt8Row = 0x1p-100f;

// values[i] = round(row[i] · (127 / largest)), to nearest, ties to even, in fp32; returns the scale, largest / 127.
// Of a row with a value that is not finite all values are 0 and the scale is NaN.
template <class T>
float quantize_row(const T* row, std::int64_t n, std::int8_t* values) {
  const float largest = largest_size(row, n);
  const bool finite = std::isfinite(largest);
  const float inverse = finite && largest >= kLeastInt8Row ? 127 / largest : 0;
  for (std::int64_t i = 0; i < n; ++i) {
    values[i] = finite ? static_cast<std::int8_t>(nearest_whole(to_float(row[i]) * inverse)) : 0;
  }
  return finite ? largest / 127 : NAN;
}

}  // namespace glmocr
