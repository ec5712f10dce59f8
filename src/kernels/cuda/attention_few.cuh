// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "kernels/cuda/values.cuh"

// Attention of few rows, which is computed in parts of a row's context: what its kernels share.
namespace glmocr::cuda {

inline constexpr int kPart = 64;  // keys of one block: parts begin at multiples of it, whatever the context
inline constexpr int kPartThreads = 256;
inline constexpr int kLanes = 16;  // lanes that share a key; each holds packs of 8 dimensions
inline constexpr int kGroups = kPartThreads / kLanes;
inline constexpr int kKeysPerGroup = kPart / kGroups;

inline int part_count(std::int64_t max_context) {
  return static_cast<int>((max_context + kPart - 1) / kPart);
}

// One dimension of a row from its parts, kAtOnce of them at a time, in order.
struct Joined {
  static constexpr int kAtOnce = 8;
  float most = -INFINITY, weights = 0, sum = 0;

  // Each gives a number of part p < kAtOnce; one that does not exist has the largest score -INFINITY and zeros.
  template <class Largest, class Total, class Value>
  __device__ __forceinline__ void add(const Largest& largest, const Total& total, const Value& value) {
    const float before = most;
#pragma unroll
    for (int p = 0; p < kAtOnce; ++p) most = fmaxf(most, largest(p));
    const float base = most == -INFINITY ? 0 : most;
    const float shrink = expf(before - base);
    weights *= shrink;
    sum *= shrink;
#pragma unroll
    for (int p = 0; p < kAtOnce; ++p) {
      const float scale = expf(largest(p) - base);
      weights = fmaf(scale, total(p), weights);
      sum = fmaf(scale, value(p), sum);
    }
  }
  __device__ __forceinline__ float result() const { return sum / weights; }
};

// Dimension d of a row from the records of its parts: those that are joined together are read at once.
__device__ __forceinline__ float joined_records(const float* records, int record, int parts, int d) {
  Joined joined;
  for (int first = 0; first < parts; first += Joined::kAtOnce) {
    float largest[Joined::kAtOnce], total[Joined::kAtOnce], value[Joined::kAtOnce];
#pragma unroll
    for (int p = 0; p < Joined::kAtOnce; ++p) {
      const float* own = records + (first + p) * record;
      const bool exists = first + p < parts;
      largest[p] = exists ? __ldcg(own) : -INFINITY;
      total[p] = exists ? __ldcg(own + 1) : 0;
      value[p] = exists ? __ldcg(own + 2 + d) : 0;
    }
    joined.add([&](int p) { return largest[p]; }, [&](int p) { return total[p]; },
               [&](int p) { return value[p]; });
  }
  return joined.result();
}

}  // namespace glmocr::cuda
