// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "kernels/cuda/mma.cuh"
#include "kernels/cuda/values.cuh"

namespace glmocr::cuda {

// The barrier of a block, or one with a number of its own for its first kThreads threads.
template <int kThreads, int kBarrier>
__device__ __forceinline__ void row_barrier() {
  if constexpr (kBarrier == 0) {
    __syncthreads();
  } else {
    asm volatile("bar.sync %0, %1;" ::"n"(kBarrier), "n"(kThreads) : "memory");
  }
}

// The sum over the threads that share a row: lanes of each warp, then the warps in order.
template <int kThreads, int kBarrier = 0>
__device__ float row_sum(float value, float* shared) {
#pragma unroll
  for (int step = kThreads < 32 ? kThreads / 2 : 16; step > 0; step /= 2) {
    value += __shfl_xor_sync(0xffffffffu, value, step);
  }
  if constexpr (kThreads <= 32) return value;
  row_barrier<kThreads, kBarrier>();  // the previous sum has been read
  if (threadIdx.x % 32 == 0) shared[threadIdx.x / 32] = value;
  row_barrier<kThreads, kBarrier>();
  float sum = 0;
#pragma unroll
  for (int w = 0; w < kThreads / 32; ++w) sum += shared[w];
  return sum;
}

// sum = x + norm(y) · weight and result = norm(sum) · next for one row, which stays in registers: a block of kThreads
// threads, each with kPacks packs of N values, `kThreads * N` apart. kBarrier: as in row_barrier.
template <class T, int kThreads, int N, int kPacks, int kBarrier = 0>
struct AddedNorm {
  static constexpr int kMostWidth = kThreads * N * kPacks;
  Pack<T, N> sum[kPacks], result[kPacks];
  int width;

  __device__ __forceinline__ int column(int p) const {
    return (p * kThreads + static_cast<int>(threadIdx.x)) * N;
  }
  template <class Visit>
  __device__ __forceinline__ void for_packs(const Visit& visit) const {
#pragma unroll
    for (int p = 0; p < kPacks; ++p) {
      if (column(p) < width) visit(p);
    }
  }
  // Both weights go to shared memory, [2, kMostWidth]; each thread reads what it has copied itself. They do not change: no
  // need to wait for the kernel before.
  __device__ __forceinline__ void fetch_weights(float* shared_weights, const float* weight,
                                                const float* next) const {
    for_packs([&](int p) {
#pragma unroll
      for (int k = 0; k < N; k += 4) {
        copy_16(shared_address(shared_weights + column(p) + k), weight + column(p) + k, true);
        copy_16(shared_address(shared_weights + kMostWidth + column(p) + k), next + column(p) + k, true);
      }
    });
    commit_copies();
  }
  // The same in registers, where shared memory has to stay free for other blocks.
  using Weights = Pack<float, N>[2][kPacks];
  __device__ __forceinline__ void load_weights(Weights& weights, const float* weight,
                                               const float* next) const {
    for_packs([&](int p) {
      weights[0][p] = *reinterpret_cast<const Pack<float, N>*>(weight + column(p));
      weights[1][p] = *reinterpret_cast<const Pack<float, N>*>(next + column(p));
    });
  }
  __device__ __forceinline__ void compute(const T* y, const T* x, const float* shared_weights, float eps,
                                          float* shared) {
    Pack<T, N> added[kPacks];
    load_rows(added, y, x);
    compute<0>(added, shared_weights, eps, shared);
  }
  __device__ __forceinline__ void compute(const T* y, const T* x, const Weights& weights, float eps,
                                          float* shared) {
    Pack<T, N> added[kPacks];
    load_rows(added, y, x);
    compute(
        added, eps, shared, [] {}, [&](int which, int p) { return weights[which][p]; });
  }
  // The same with x in `sum`. kPending: copies started after those of the weights.
  template <int kPending>
  __device__ __forceinline__ void compute(const Pack<T, N> (&y)[kPacks], const float* shared_weights,
                                          float eps, float* shared) {
    compute(
        y, eps, shared, [] { wait_for_copies<kPending>(); },
        [&](int which, int p) {
          return *reinterpret_cast<const Pack<float, N>*>(shared_weights + which * kMostWidth + column(p));
        });
  }
  __device__ __forceinline__ void store(T* to, const Pack<T, N> (&packs)[kPacks]) const {
    for_packs([&](int p) { *reinterpret_cast<Pack<T, N>*>(to + column(p)) = packs[p]; });
  }

 private:
  __device__ __forceinline__ void load_rows(Pack<T, N> (&added)[kPacks], const T* y, const T* x) {
    for_packs([&](int p) {
      added[p] = *reinterpret_cast<const Pack<T, N>*>(y + column(p));
      sum[p] = *reinterpret_cast<const Pack<T, N>*>(x + column(p));
    });
  }
  // weight_of(0 for the first weight, 1 for `next`; p) behind wait_for_weights().
  template <class Wait, class WeightOf>
  __device__ __forceinline__ void compute(const Pack<T, N> (&y)[kPacks], float eps, float* shared,
                                          const Wait& wait_for_weights, const WeightOf& weight_of) {
    float value[kPacks][N] = {};
    for_packs([&](int p) {
#pragma unroll
      for (int k = 0; k < N; ++k) value[p][k] = to_float(y[p].v[k]);
    });
    const auto scale_of = [&] {
      float squares = 0;
#pragma unroll
      for (int p = 0; p < kPacks; ++p) {
#pragma unroll
        for (int k = 0; k < N; ++k) squares += value[p][k] * value[p][k];
      }
      return 1 / sqrtf(row_sum<kThreads, kBarrier>(squares, shared) / width + eps);
    };
    const float first = scale_of();
    wait_for_weights();
    for_packs([&](int p) {
      const Pack<float, N> weight = weight_of(0, p);
#pragma unroll
      for (int k = 0; k < N; ++k) {
        const float normed = rounded<T>(weight.v[k] * rounded<T>(value[p][k] * first));
        sum[p].v[k] = from_float<T>(normed + to_float(sum[p].v[k]));
        value[p][k] = to_float(sum[p].v[k]);
      }
    });
    const float second = scale_of();
    for_packs([&](int p) {
      const Pack<float, N> next = weight_of(1, p);
#pragma unroll
      for (int k = 0; k < N; ++k)
        result[p].v[k] = from_float<T>(next.v[k] * rounded<T>(value[p][k] * second));
    });
  }
};

}  // namespace glmocr::cuda
