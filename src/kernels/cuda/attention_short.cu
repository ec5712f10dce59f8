// SPDX-License-Identifier: Apache-2.0
#include "kernels/cuda/attention.cuh"
#include "kernels/cuda/launch.h"

// Attention over segments in fp32 with short heads.
namespace glmocr::cuda {
namespace {

constexpr int kDim = kShortDim, kParts = 8, kThreads = kShortTile * kParts;
constexpr int kKeys = 64, kEach = kKeys / kParts;  // keys of a block, and of a thread
constexpr int kPitch = kDim + 4;  // of a key in shared memory: eight keys lie in different banks
constexpr int kPacks = kDim / 4;

using Four = Pack<float, 4>;

// What one thread has seen of the keys of its query.
struct Seen {
  float largest = -INFINITY, total = 0, sums[kDim] = {};

  __device__ __forceinline__ void scale(float most) {
    const float base = most == -INFINITY ? 0 : most, factor = expf(largest - base);
    largest = most;
    total *= factor;
#pragma unroll
    for (int d = 0; d < kDim; ++d) sums[d] *= factor;
  }
  __device__ __forceinline__ void add_from(int lanes) {
    scale(fmaxf(largest, __shfl_xor_sync(0xffffffffu, largest, lanes)));
    total += __shfl_xor_sync(0xffffffffu, total, lanes);
#pragma unroll
    for (int d = 0; d < kDim; ++d) sums[d] += __shfl_xor_sync(0xffffffffu, sums[d], lanes);
  }
};

// Copies `count` of kKeys rows; zeros for the others.
__device__ __forceinline__ void load_rows(float* to, const float* from, std::int64_t stride, int count) {
  for (int i = threadIdx.x; i < kKeys * kPacks; i += kThreads) {
    const int row = i / kPacks, column = i % kPacks * 4;
    Four values{};
    if (row < count) values = *reinterpret_cast<const Four*>(from + row * stride + column);
    *reinterpret_cast<Four*>(to + row * kPitch + column) = values;
  }
}

__device__ __forceinline__ void see_keys(const float (&q)[kDim], const float* keys, const float* values,
                                         int count, float scale, Seen& seen) {
  const int part = threadIdx.x % kParts;
  float scores[kEach], most = seen.largest;
#pragma unroll
  for (int i = 0; i < kEach; ++i) {
    const int key = kParts * i + part;
    float dots[4] = {};
#pragma unroll
    for (int p = 0; p < kPacks; ++p) {
      const auto k = *reinterpret_cast<const Four*>(keys + key * kPitch + 4 * p);
#pragma unroll
      for (int j = 0; j < 4; ++j) dots[j] = fmaf(q[4 * p + j], k.v[j], dots[j]);
    }
    scores[i] = key < count ? ((dots[0] + dots[1]) + (dots[2] + dots[3])) * scale : -INFINITY;
    most = fmaxf(most, scores[i]);
  }
  seen.scale(most);
  const float base = most == -INFINITY ? 0 : most;
#pragma unroll
  for (int i = 0; i < kEach; ++i) {
    const float weight = expf(scores[i] - base);
    seen.total += weight;
#pragma unroll
    for (int p = 0; p < kPacks; ++p) {
      const auto v = *reinterpret_cast<const Four*>(values + (kParts * i + part) * kPitch + 4 * p);
#pragma unroll
      for (int j = 0; j < 4; ++j) seen.sums[4 * p + j] = fmaf(weight, v.v[j], seen.sums[4 * p + j]);
    }
  }
}

// Bound by shared memory: eight threads share a query, each takes every eighth key of its segment.
__global__ void __launch_bounds__(kThreads) short_kernel(const __grid_constant__ SegmentAttention<float> a) {
  __shared__ __align__(16) float keys[kKeys * kPitch], values[kKeys * kPitch];
  let_next_start();
  wait_for_previous();
  const int head = blockIdx.y, part = threadIdx.x % kParts;
  int segment = 0, tile = blockIdx.x;
  for (; segment < a.segments; ++segment) {
    const int tiles = (a.query_start(segment + 1) - a.query_start(segment) + kShortTile - 1) / kShortTile;
    if (tile < tiles) break;
    tile -= tiles;
  }
  if (segment == a.segments) return;
  const int row = a.query_start(segment) + tile * kShortTile + static_cast<int>(threadIdx.x) / kParts;
  const bool exists = row < a.query_start(segment + 1);
  const int begin = a.key_start(segment), count = a.key_start(segment + 1) - begin;
  float q[kDim];
#pragma unroll
  for (int p = 0; p < kPacks; ++p) {
    Four some{};
    if (exists) some = *reinterpret_cast<const Four*>(a.q + row * a.q_row + head * a.q_head + 4 * p);
#pragma unroll
    for (int j = 0; j < 4; ++j) q[4 * p + j] = some.v[j];
  }
  Seen seen;
  for (int first = 0; first < count; first += kKeys) {
    __syncthreads();  // the keys before have been used
    load_rows(keys, a.k + (begin + first) * a.k_row + head * a.k_head, a.k_row, count - first);
    load_rows(values, a.v + (begin + first) * a.v_row + head * a.v_head, a.v_row, count - first);
    __syncthreads();
    see_keys(q, keys, values, count - first, a.scale, seen);
  }
  seen.add_from(1);
  seen.add_from(2);
  seen.add_from(4);
  if (!exists) return;
  const float share = 1 / seen.total;
#pragma unroll
  for (int p = 0; p < kPacks; ++p) {
    if (p * kParts / kPacks != part) continue;
    Four out;
#pragma unroll
    for (int j = 0; j < 4; ++j) out.v[j] = seen.sums[4 * p + j] * share;
    *reinterpret_cast<Four*>(a.y + row * a.y_row + head * kDim + 4 * p) = out;
  }
}

}  // namespace

void run_segments_short(Context& context, const SegmentAttention<float>& a, int tiles) {
  launch(context, "attention", short_kernel, dim3(tiles, a.heads), kThreads, 0, a);
}

}  // namespace glmocr::cuda
