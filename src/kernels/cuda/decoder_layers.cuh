// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "kernels/cuda/attention.cuh"
#include "kernels/cuda/attention_few.cuh"
#include "kernels/cuda/context.h"
#include "kernels/cuda/linear_few.cuh"
#include "kernels/cuda/norm.cuh"
#include "kernels/cuda/rope.cuh"

// All layers of a decoder in one launch: what the kernels for one row (decoder_row.cu) and for some (decoder_rows.cu) share.
namespace glmocr::cuda::decoder {

inline constexpr int kThreads = 512, kWarps = kThreads / 32;
inline constexpr int kHalf = kThreads / 2;  // threads of the norms and of attention
inline constexpr int kShortSteps = 8;       // most steps of a warp with eight warps a sum
inline constexpr int kLongSteps = 9;        // with sixteen
template <int kParts>
inline constexpr int kSteps = kParts == 8 ? kShortSteps : kLongSteps;
inline constexpr int kShortTerms = 8 * kShortSteps * kStep, kLongTerms = kWarps * kLongSteps * kStep;
inline constexpr int kMostLayers = 28;
inline constexpr int kHeads = 2, kDim = 128;  // query heads of a kv head; of a head
inline constexpr int kRecord = 2 + kDim;      // of a part: largest score, sum of the weights, weighted values
// Barriers: of the first half, of each group of warps.
inline constexpr int kHalfBarrier = 1, kGroupBarrier = 2;

using Norm = AddedNorm<bf16_t, kHalf, 8, 1, kHalfBarrier>;
static_assert(kHalf == kAddNormThreads && kHalf == kPartThreads && kDim == 8 * kLanes);

struct Layer {
  const bf16_t *q, *k, *v, *o, *gate, *up, *down;
  const float *attention_norm, *mlp_input_norm, *mlp_norm, *next_norm;
  bf16_t *keys, *values;
};

// How the features of a product are shared: so many for a block, which has them in tiles of `width`.
struct Split {
  int columns, tiles, width;
};

struct RowArguments {
  Layer layers[kMostLayers];
  int layer_count, hidden, q_out, kv_out, inner;
  int rows, first_row;  // of the step
  Split qkv, o, gated, down;
  bf16_t *x, *h;  // of the first row
  std::int64_t x_stride, h_stride;
  bf16_t *projected, *attended, *y, *activated;  // what blocks hand each other
  const float* table;
  std::int64_t sines_at;
  PagedAttention<bf16_t> paged;
  const std::int32_t* slots;
  std::int64_t slot_count;
  float* partial;              // [rows, heads, parts, kRecord]
  int parts;                   // the most of a row
  int ranges, parts_of_range;  // how parts are shared among blocks
  std::int32_t *counters, *barrier, *norms;
  volatile std::int32_t* bad_index;
  float eps;
};
static_assert(sizeof(RowArguments) <= 4096);

// What another block has written.
template <class T, int N>
__device__ __forceinline__ Pack<T, N> load_shared_pack(const T* address) {
  const uint4 value = __ldcg(reinterpret_cast<const uint4*>(address));
  return *reinterpret_cast<const Pack<T, N>*>(&value);
}

// Waits until the counter has come to `wanted`: by one thread. False after two seconds, when other blocks cannot come any more.
__device__ __forceinline__ bool wait_for_count(const std::int32_t* counter, int wanted) {
  std::uint64_t begin = 0, now = 0;
  for (int tries = 0;; ++tries) {
    int count;
    asm volatile("ld.acquire.gpu.global.s32 %0, [%1];" : "=r"(count) : "l"(counter) : "memory");
    if (count >= wanted) return true;
    if (tries % 1024 != 1023) continue;
    asm volatile("mov.u64 %0, %globaltimer;" : "=l"(now));
    if (begin == 0) begin = now;
    if (now - begin > 2'000'000'000) return false;
  }
}

// A tile of a product, and what a warp of kParts has of its terms.
struct Tile {
  int feature, end;           // features of the tile
  int first_step, last_step;  // steps of this warp, the last one excluded
};
template <int kParts>
__device__ __forceinline__ Tile tile_of(const Split& split, int in, int out, int index) {
  const int block = static_cast<int>(blockIdx.x) * split.columns, feature = block + index * split.width;
  const int most = index < split.tiles ? min(block + split.columns, out) : 0;
  const int steps = in / kStep, per_warp = (steps + kParts - 1) / kParts;
  const int first = static_cast<int>(threadIdx.x) / 32 % kParts * per_warp;
  return {feature, min(feature + split.width, most), first, min(first + per_warp, steps)};
}

// Scores of a part become weights: by a warp.
__device__ __forceinline__ void weigh_part(float* scores, float* largest, float* total, int lane) {
  float most = -INFINITY, weight[kPart / 32], sum = 0;
#pragma unroll
  for (int i = 0; i < kPart / 32; ++i) most = fmaxf(most, scores[lane + 32 * i]);
#pragma unroll
  for (int step = 16; step > 0; step /= 2) most = fmaxf(most, __shfl_xor_sync(0xffffffffu, most, step));
  const float base = most == -INFINITY ? 0 : most;
#pragma unroll
  for (int i = 0; i < kPart / 32; ++i) {
    weight[i] = expf(scores[lane + 32 * i] - base);
    scores[lane + 32 * i] = weight[i];
    sum += weight[i];
  }
  sum = warp_sum(sum);
  if (lane == 0) {
    *largest = most;
    *total = sum;
  }
}

// A warp and the weights of its next tile, which stand in its registers. What both kernels begin with.
class WeightTiles {
 protected:
  __device__ __forceinline__ explicit WeightTiles(const RowArguments& arguments) : a(arguments) {}

  __device__ __forceinline__ const bf16_t* qkv_row(const Layer& layer, int feature) const {
    const std::int64_t in = a.hidden;
    if (feature < a.q_out) return layer.q + feature * in;
    feature -= a.q_out;
    return feature < a.kv_out ? layer.k + feature * in : layer.v + (feature - a.kv_out) * in;
  }
  __device__ __forceinline__ void load_qkv(int index) {
    const Layer& layer = a.layers[index];
    load_tile<8>(a.qkv, a.hidden, a.q_out + 2 * a.kv_out, group8(), nullptr,
                 [&](int feature) { return qkv_row(layer, feature); });
  }

  // The rows of weights that a lane reads: eight of one matrix and eight of the other, or sixteen of one.
  template <class RowOf>
  __device__ __forceinline__ void rows_of(const Tile& tile, const bf16_t* up, int in, const RowOf& row_of,
                                          const bf16_t* (&rows)[2]) const {
    const int feature = tile.feature + g, second = up ? feature : feature + 8;
    rows[0] = feature < tile.end ? row_of(feature) : nullptr;
    rows[1] = second < tile.end ? (up ? up + std::int64_t{feature} * in : row_of(second)) : nullptr;
  }
  __device__ __forceinline__ void load_step(int u, int step, int last, const bf16_t* const (&rows)[2]) {
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      w[u][i] = rows[i] && step < last ? load_once(rows[i] + step * kStep + 8 * t) : uint4{};
    }
  }
  template <int kParts, class RowOf>
  __device__ __forceinline__ void load_tile(const Split& split, int in, int out, int index, const bf16_t* up,
                                            const RowOf& row_of) {
    const Tile tile = tile_of<kParts>(split, in, out, index);
    const bf16_t* rows[2];
    rows_of(tile, up, in, row_of, rows);
#pragma unroll
    for (int u = 0; u < kSteps<kParts>; ++u) load_step(u, tile.first_step + u, tile.last_step, rows);
  }

  __device__ __forceinline__ int group8() const { return warp / 8; }

  const RowArguments& a;
  const int tid = threadIdx.x, warp = tid / 32, lane = tid % 32, g = lane / 4, t = lane % 4;
  uint4 w[kLongSteps][2];
};

// --- attention over a part of a context. A group of kLanes lanes has the keys group, group + kGroups, … of the part, its lane l
// the values 8 l to 8 l + 7 of each.

__device__ __forceinline__ void load_queries(float (&q)[kHeads][8], const bf16_t* from, int l,
                                             const Pack<float, 4>& cosines, const Pack<float, 4>& sines) {
#pragma unroll
  for (int h = 0; h < kHeads; ++h) {
    const auto pack = turned(load_shared_pack<bf16_t, 8>(from + h * kDim + 8 * l), cosines, sines);
#pragma unroll
    for (int i = 0; i < 8; ++i) q[h][i] = to_float(pack.v[i]);
  }
}

// key_of(u, key): the lane's pack of the group's key number u.
template <class KeyOf>
__device__ __forceinline__ void score_keys(float (&scores)[kHeads][kPart], const float (&q)[kHeads][8],
                                           int group, int l, int count, float scale, const KeyOf& key_of) {
#pragma unroll
  for (int u = 0; u < kKeysPerGroup; ++u) {
    const int key = group + u * kGroups;
    const auto pack = key_of(u, key);
#pragma unroll
    for (int h = 0; h < kHeads; ++h) {
      float dot = 0;
#pragma unroll
      for (int i = 0; i < 8; ++i) dot = fmaf(q[h][i], to_float(pack.v[i]), dot);
#pragma unroll
      for (int step = kLanes / 2; step > 0; step /= 2) dot += __shfl_xor_sync(0xffffffffu, dot, step);
      if (l == 0) scores[h][key] = key < count ? dot * scale : -INFINITY;
    }
  }
}

// The sums of a warp's values, weighted. value_of as key_of.
template <class ValueOf>
__device__ __forceinline__ void add_values(float (&sums)[kHeads][kDim], const float (&weights)[kHeads][kPart],
                                           int group, int l, int count, const ValueOf& value_of) {
  float acc[kHeads][8] = {};
#pragma unroll
  for (int u = 0; u < kKeysPerGroup; ++u) {
    const int key = group + u * kGroups;
    if (key >= count) break;
    const auto pack = value_of(u, key);
#pragma unroll
    for (int h = 0; h < kHeads; ++h) {
      const float weight = weights[h][key];
#pragma unroll
      for (int i = 0; i < 8; ++i) acc[h][i] = fmaf(weight, to_float(pack.v[i]), acc[h][i]);
    }
  }
#pragma unroll
  for (int h = 0; h < kHeads; ++h) {
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      const float both = acc[h][i] + __shfl_xor_sync(0xffffffffu, acc[h][i], kLanes);
      if (group % 2 == 0) sums[h][8 * l + i] = both;
    }
  }
}

// Launches a single row on `grid` blocks.
void run_row(Context& context, const RowArguments& a, unsigned grid);
// Launches a.rows rows, at most kMostRows, on `grid` blocks; a.ranges is set there. rows_fit: whether they can be.
inline constexpr int kMostRows = 32;
bool rows_fit(const Context& context, const RowArguments& a, int rows, unsigned grid);
void run_rows(Context& context, RowArguments a, unsigned grid);

}  // namespace glmocr::cuda::decoder
