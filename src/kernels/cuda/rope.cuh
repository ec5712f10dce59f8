// SPDX-License-Identifier: Apache-2.0
#pragma once
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

}  // namespace glmocr::cuda
