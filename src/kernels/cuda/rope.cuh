// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "kernels/cuda/context.h"
#include "kernels/cuda/values.cuh"

namespace glmocr::cuda {

// N interleaved pairs of a row, turned (RopeStyle::interleaved).
template <class T, int M, int N>
__device__ __forceinline__ Pack<T, M> turned(const Pack<T, M>& both, const Pack<float, N>& cosines,
                                             const Pack<float, N>& sines) {
  static_assert(M == 2 * N);
  Pack<T, M> result;
#pragma unroll
  for (int k = 0; k < N; ++k) {
    const float cosine = cosines.v[k], sine = sines.v[k];
    const float u = to_float(both.v[2 * k]), v = to_float(both.v[2 * k + 1]);
    result.v[2 * k] = from_float<T>(rounded<T>(__fmul_rn(u, cosine)) - rounded<T>(__fmul_rn(v, sine)));
    result.v[2 * k + 1] = from_float<T>(rounded<T>(__fmul_rn(v, cosine)) + rounded<T>(__fmul_rn(u, sine)));
  }
  return result;
}

// What rope_kv_write (ops.h) does with rows of queries, keys and values, bf16: queries go to `turned`, [rows, q_heads · dim],
// keys and values to the slots of their rows in [pages, heads, page_size, dim].
struct TurnedRows {
  const float* table;  // cosines [rows, dim / 2]; the sines are `sines_at` further on
  std::int64_t sines_at;
  bf16_t *turned, *keys, *values;
  const std::int32_t* slots;
  std::int64_t slot_count;
  int q_heads, heads, dim, page_size;
  volatile std::int32_t* step_fault;

  // The slot of a row; -1, which is not written, where it is none of the store's.
  __device__ __forceinline__ std::int64_t slot_of(std::int64_t row) const {
    const std::int64_t slot = slots[row];
    if (slot >= -1 && slot < slot_count) return slot;
    *step_fault = kIndexOutside;
    return -1;
  }
  // Where the slot has the values of a head.
  __device__ __forceinline__ std::int64_t offset(std::int64_t slot, int head) const {
    const auto token = static_cast<std::uint32_t>(slot), size = static_cast<std::uint32_t>(page_size);
    return ((std::int64_t{token / size} * heads + head) * size + token % size) * dim;
  }
};

}  // namespace glmocr::cuda
