// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>

#include "tensor/ops.h"

// Values of tensors in kernels. Sums run in float; `rounded` is the value as the compute type holds it.
namespace glmocr::cuda {

using half_t = __half;
using bf16_t = __nv_bfloat16;

__device__ __forceinline__ float to_float(float value) { return value; }
__device__ __forceinline__ float to_float(bf16_t value) { return __bfloat162float(value); }
__device__ __forceinline__ float to_float(half_t value) { return __half2float(value); }

template <class T>
__device__ __forceinline__ T from_float(float value) {
  if constexpr (std::is_same_v<T, float>) {
    return value;
  } else {
    return __float2bfloat16_rn(value);
  }
}

template <class T>
__device__ __forceinline__ float rounded(float value) {
  return to_float(from_float<T>(value));
}

// N values that are loaded and stored together: up to 16 bytes, aligned to their size.
template <class T, int N>
struct alignas(sizeof(T) * N) Pack {
  T v[N];
};

// f(T()) for the C++ type of a compute type, or of a stored type.
template <class F>
void with_compute_type(DType dtype, F f) {
  if (dtype == DType::f32) return f(float());
  GLMOCR_CHECK(dtype == DType::bf16);
  f(bf16_t());
}
template <class F>
void with_stored_type(DType dtype, F f) {
  if (dtype == DType::f16) return f(half_t());
  with_compute_type(dtype, f);
}

template <class T>
T* data(const Tensor& tensor) {
  return static_cast<T*>(tensor.data);
}

inline bool is_aligned(const Tensor& t, std::int64_t bytes) {
  return reinterpret_cast<std::uintptr_t>(t.data) % bytes == 0;
}

// Whether rows can be read 16 bytes at a time: every row begins at a multiple of 16. The answer for some rows of a
// matrix is that for all of them, so that it may choose a kernel.
inline bool rows_are_aligned(const Tensor& t) {
  const std::int64_t values = 16 / size_of(t.dtype);
  bool aligned = is_aligned(t, 16) && t.shape[-1] % values == 0;
  for (int i = 0; i + 1 < t.rank(); ++i) aligned = aligned && t.strides[i] % values == 0;
  return aligned;
}

// Where the rows of a tensor are, all dimensions but the last counted as one: [tokens, heads, dim] as a part of
// a wider matrix has two distances.
struct Rows {
  std::int64_t inner = 1;  // rows per step of the outer distance
  std::int64_t outer_stride = 0, inner_stride = 0;

  explicit Rows(const Tensor& t) {
    GLMOCR_CHECK(1 <= t.rank() && t.rank() <= 3 && (t.shape[-1] <= 1 || t.strides[-1] == 1));
    if (t.rank() == 3) {
      inner = t.shape[1];
      outer_stride = t.strides[0];
      inner_stride = t.strides[1];
    } else {
      outer_stride = t.rank() == 2 ? t.strides[0] : 0;
    }
  }
  __device__ __forceinline__ std::int64_t offset(std::int64_t row) const {
    if (inner == 1) return row * outer_stride;
    return row / inner * outer_stride + row % inner * inner_stride;
  }
};

inline unsigned blocks_for(std::int64_t items, std::int64_t per_block) {
  return static_cast<unsigned>((items + per_block - 1) / per_block);
}

// The sum over the lanes of a warp, in a fixed order; every lane gets it.
__device__ __forceinline__ float warp_sum(float value) {
#pragma unroll
  for (int step = 16; step > 0; step /= 2) value += __shfl_xor_sync(0xffffffffu, value, step);
  return value;
}

// Results of type T; those of bf16 need no more than fast exponentials. erfc, because 1 + erf would cancel; in fp32 more precision is needed than erfcf has.
template <class T>
__device__ __forceinline__ float apply(Activation activation, float x) {
  switch (activation) {
    case Activation::silu:
      if constexpr (!std::is_same_v<T, float>) return __fdividef(x, 1 + __expf(-x));
      return x / (1 + expf(-x));
    case Activation::gelu:
      if constexpr (std::is_same_v<T, float>) {
        return static_cast<float>(0.5 * x * erfc(x * -0.70710678118654752440));
      }
      return 0.5f * x * erfcf(x * -0.70710678118654752440f);
    case Activation::relu:
      return x < 0 ? 0 : x;  // NaN stays NaN
    default:
      return x;
  }
}

}  // namespace glmocr::cuda
