// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstddef>
#include <cstdint>

#include "kernels/cpu/kernel_table.h"
#include "tensor/ops.h"
#include "tensor/tensor.h"

namespace glmocr::cpu {

inline Type type_of(DType dtype) {
  GLMOCR_CHECK(dtype == DType::f32 || dtype == DType::bf16 || dtype == DType::f16);
  return dtype == DType::f32 ? Type::f32 : dtype == DType::bf16 ? Type::bf16 : Type::f16;
}

inline Nonlinearity nonlinearity_of(Activation activation) {
  switch (activation) {
    case Activation::none:
      return Nonlinearity::none;
    case Activation::silu:
      return Nonlinearity::silu;
    case Activation::gelu:
      return Nonlinearity::gelu;
    case Activation::relu:
      return Nonlinearity::relu;
  }
  return Nonlinearity::none;
}

inline bool is_compute_type(DType dtype) { return dtype == DType::f32 || dtype == DType::bf16; }

// The address of an element.
inline std::byte* at(const Tensor& t, std::int64_t offset) {
  return static_cast<std::byte*>(t.data) + offset * size_of(t.dtype);
}

// Rows of a tensor from row `first` on, as kernels take them; null for an absent tensor.
inline ConstRows const_rows(const Tensor& t, std::int64_t first) {
  if (!t) return {nullptr, 0, Type::f32};
  return {at(t, first * t.row_stride()), t.row_stride(), type_of(t.dtype)};
}
inline Rows rows(const Tensor& t, std::int64_t first) {
  return {at(t, first * t.row_stride()), t.row_stride(), type_of(t.dtype)};
}

}  // namespace glmocr::cpu
