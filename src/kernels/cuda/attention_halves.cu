// SPDX-License-Identifier: Apache-2.0
#include "kernels/cuda/attention.cuh"
#include "kernels/cuda/halves.cuh"
#include "kernels/cuda/launch.h"

// Attention over segments in fp32 with short heads, where sixteen bits of an operand count.
namespace glmocr::cuda {
namespace {

constexpr int kDim = kShortDim, kChunks = 8, kWarps = 4, kThreads = 32 * kWarps, kKeys = 64;
constexpr int kRowBytes = 16 * kChunks;  // of a key or value: first halves, then second ones
constexpr int kPacks = kDim / 4, kPasses = kKeys * kPacks / kThreads;
static_assert(kHalvesTile == 16 * kWarps && kRowBytes == 4 * kDim);

using Four = Pack<float, 4>;

// Keys or values of a block on their way to shared memory: four numbers of kPasses rows for each thread.
struct Rows {
  Four some[kPasses];

  __device__ __forceinline__ void fetch(const float* from, std::int64_t stride, int count) {
#pragma unroll
    for (int i = 0; i < kPasses; ++i) {
      const int row = (i * kThreads + static_cast<int>(threadIdx.x)) / kPacks;
      some[i] = {};
      if (row < count)
        some[i] = *reinterpret_cast<const Four*>(from + row * stride + threadIdx.x % kPacks * 4);
    }
  }
  __device__ __forceinline__ void store(std::byte* tile) const {
    const int pack = threadIdx.x % kPacks;
#pragma unroll
    for (int i = 0; i < kPasses; ++i) {
      const int row = (i * kThreads + static_cast<int>(threadIdx.x)) / kPacks;
      const Parts a = halves_of(some[i].v[0], some[i].v[1]), b = halves_of(some[i].v[2], some[i].v[3]);
      const auto put = [&](int chunk, std::uint32_t first, std::uint32_t second) {
        *reinterpret_cast<uint2*>(tile + swizzled<kChunks>(row, chunk) + pack % 2 * 8) = {first, second};
      };
      put(pack / 2, a.high, b.high);
      put(kChunks / 2 + pack / 2, a.low, b.low);
    }
  }
};

// Sixteen terms of sixteen rows, as the left operand of mma().
struct Left {
  std::uint32_t high[4], low[4];

  __device__ __forceinline__ void set(int word, float a, float b) {
    const Parts parts = halves_of(a, b);
    high[word] = parts.high;
    low[word] = parts.low;
  }
  __device__ __forceinline__ void multiply(float (&d)[4], const std::uint32_t* first,
                                           const std::uint32_t* second) const {
    mma(d, low, first[0], first[1]);
    mma(d, high, second[0], second[1]);
    mma(d, high, first[0], first[1]);
  }
};

// What a warp has seen: lane 4g + t has columns 2t and 2t + 1 of eight of the rows g and g + 8.
struct Seen {
  float largest[2] = {-INFINITY, -INFINITY}, total[2] = {}, sums[kDim / 8][4] = {};

  __device__ __forceinline__ void add(float (&scores)[kKeys / 8][4], std::uint32_t values, float scale) {
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float most = largest[half];
#pragma unroll
      for (int j = 0; j < kKeys / 8; ++j)
        most = fmaxf(most, fmaxf(scores[j][2 * half], scores[j][2 * half + 1]));
      most = fmaxf(most, __shfl_xor_sync(0xffffffffu, most, 1));
      most = fmaxf(most, __shfl_xor_sync(0xffffffffu, most, 2));
      const float base = most == -INFINITY ? 0 : most, factor = exp2f((largest[half] - base) * scale);
      largest[half] = most;
      total[half] *= factor;
#pragma unroll
      for (int d = 0; d < kDim / 8; ++d) {
        sums[d][2 * half] *= factor;
        sums[d][2 * half + 1] *= factor;
      }
#pragma unroll
      for (int j = 0; j < kKeys / 8; ++j) {
#pragma unroll
        for (int i = 2 * half; i < 2 * half + 2; ++i) {
          scores[j][i] = exp2f((scores[j][i] - base) * scale);
          total[half] += scores[j][i];
        }
      }
    }
#pragma unroll
    for (int step = 0; step < kKeys / 16; ++step) {
      Left weights;
#pragma unroll
      for (int word = 0; word < 4; ++word) {
        const float* pair = &scores[2 * step + word / 2][word % 2 * 2];
        weights.set(word, pair[0], pair[1]);
      }
#pragma unroll
      for (int d = 0; d < kDim / 16; ++d) {
        std::uint32_t first[4], second[4];
        const int row = 16 * step + lane % 16, chunk = 2 * d + lane / 16;
        load_matrices_transposed(first, values + swizzled<kChunks>(row, chunk));
        load_matrices_transposed(second, values + swizzled<kChunks>(row, kChunks / 2 + chunk));
#pragma unroll
        for (int n = 0; n < 2; ++n) weights.multiply(sums[2 * d + n], first + 2 * n, second + 2 * n);
      }
    }
  }
};

// Bound by the tensor cores and the latency of reading: each warp has 16 queries; keys and values of the next block are on
// their way while those of one are used.
__global__ void __launch_bounds__(kThreads) halves_kernel(const __grid_constant__ SegmentAttention<float> a) {
  __shared__ __align__(128) std::byte keys[kKeys * kRowBytes], values[kKeys * kRowBytes];
  let_next_start();
  wait_for_previous();
  const int head = blockIdx.y, lane = threadIdx.x % 32;
  int segment = 0, tile = blockIdx.x;
  for (; segment < a.segments; ++segment) {
    const int tiles = (a.query_start(segment + 1) - a.query_start(segment) + kHalvesTile - 1) / kHalvesTile;
    if (tile < tiles) break;
    tile -= tiles;
  }
  if (segment == a.segments) return;
  const int row =
      a.query_start(segment) + tile * kHalvesTile + static_cast<int>(threadIdx.x) / 32 * 16 + lane / 4;
  const int end = a.query_start(segment + 1);
  const int begin = a.key_start(segment), count = a.key_start(segment + 1) - begin;
  Left queries[kDim / 16];
#pragma unroll
  for (int step = 0; step < kDim / 16; ++step) {
#pragma unroll
    for (int word = 0; word < 4; ++word) {
      const std::int64_t at = row + word % 2 * 8;
      float2 pair{};
      if (at < end) {
        pair = *reinterpret_cast<const float2*>(a.q + at * a.q_row + head * a.q_head + 16 * step +
                                                word / 2 * 8 + lane % 4 * 2);
      }
      queries[step].set(word, pair.x, pair.y);
    }
  }
  Rows next_keys, next_values;
  const auto fetch = [&](int first) {
    next_keys.fetch(a.k + std::int64_t{begin + first} * a.k_row + head * a.k_head, a.k_row, count - first);
    next_values.fetch(a.v + std::int64_t{begin + first} * a.v_row + head * a.v_head, a.v_row, count - first);
  };
  fetch(0);
  const std::uint32_t key_tile = shared_address(keys), value_tile = shared_address(values);
  Seen seen;
  for (int first = 0; first < count; first += kKeys) {
    __syncthreads();  // the keys before have been used
    next_keys.store(keys);
    next_values.store(values);
    __syncthreads();
    if (first + kKeys < count) fetch(first + kKeys);
    float scores[kKeys / 8][4] = {};
#pragma unroll
    for (int step = 0; step < kDim / 16; ++step) {
#pragma unroll
      for (int j = 0; j < kKeys / 16; ++j) {
        std::uint32_t some[4], more[4];
        const int key = 16 * j + lane / 16 * 8 + lane % 8, chunk = 2 * step + lane / 8 % 2;
        load_matrices(some, key_tile + swizzled<kChunks>(key, chunk));
        load_matrices(more, key_tile + swizzled<kChunks>(key, kChunks / 2 + chunk));
#pragma unroll
        for (int n = 0; n < 2; ++n) queries[step].multiply(scores[2 * j + n], some + 2 * n, more + 2 * n);
      }
    }
    if (count - first < kKeys) {
#pragma unroll
      for (int j = 0; j < kKeys / 8; ++j) {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          if (first + 8 * j + lane % 4 * 2 + i % 2 >= count) scores[j][i] = -INFINITY;
        }
      }
    }
    constexpr float kLog2E = 1.4426950408889634f;
    seen.add(scores, value_tile, a.scale * kLog2E);
  }
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    float total = seen.total[half];
    total += __shfl_xor_sync(0xffffffffu, total, 1);
    total += __shfl_xor_sync(0xffffffffu, total, 2);
    if (row + 8 * half >= end) continue;
    const float share = 1 / total;
    float* y = a.y + std::int64_t{row + 8 * half} * a.y_row + head * kDim + lane % 4 * 2;
#pragma unroll
    for (int d = 0; d < kDim / 8; ++d) {
      *reinterpret_cast<float2*>(y + 8 * d) = {seen.sums[d][2 * half] * share,
                                               seen.sums[d][2 * half + 1] * share};
    }
  }
}

}  // namespace

void run_segments_halves(Context& context, const SegmentAttention<float>& a, int tiles) {
  launch(context, "attention", halves_kernel, dim3(tiles, a.heads), kThreads, 0, a);
}

}  // namespace glmocr::cuda
