// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "tensor/tensor.h"

namespace glmocr::ref {

// One value of a tensor, read as fp32 whatever its stored type.
inline float get(const Tensor& t, std::int64_t offset) {
  switch (t.dtype) {
    case DType::f32:
      return t.as<float>()[offset];
    case DType::bf16:
      return to_float(t.as<bf16>()[offset]);
    case DType::f16:
      return to_float(t.as<f16>()[offset]);
    default:
      GLMOCR_CHECK(!"a tensor of numbers");
      return 0;
  }
}

// The offset of row r, where all dimensions but the last count rows: [tokens, heads, dim] as a part of a
// wider matrix has two strides.
inline std::int64_t row_offset(const Tensor& t, std::int64_t r) {
  std::int64_t offset = 0;
  for (int i = t.rank() - 2; i >= 0; --i) {
    offset += r % t.shape[i] * t.strides[i];
    r /= t.shape[i];
  }
  return offset;
}

// Stores a value, rounded to the tensor's type.
inline void put(const Tensor& t, std::int64_t offset, float value) {
  if (t.dtype == DType::f32) {
    t.as<float>()[offset] = value;
  } else {
    t.as<bf16>()[offset] = to_bf16(value);
  }
}

// The value as the compute type holds it.
inline float rounded(DType dtype, float value) { return dtype == DType::bf16 ? round_to_bf16(value) : value; }

}  // namespace glmocr::ref
