// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "kernels/cuda/attention.cuh"
#include "kernels/cuda/attention_few.cuh"
#include "kernels/cuda/context.h"
#include "kernels/cuda/linear_few.cuh"
#include "kernels/cuda/norm.cuh"
#include "kernels/cuda/rope.cuh"

// All layers of a decoder for one row in one launch: what the kernel (decoder_row_sm90.cu) is told, and its parts.
namespace glmocr::cuda::decoder {

inline constexpr int kThreads = 512, kWarps = kThreads / 32;  // that compute; one more warp reads weights
inline constexpr int kHalf = kThreads / 2;                    // threads of the norms and of attention
inline constexpr int kShortSteps = 8;                         // most steps of a warp with eight warps a sum
inline constexpr int kLongSteps = 9;                          // with sixteen
template <int kParts>
inline constexpr int kSteps = kParts == 8 ? kShortSteps : kLongSteps;
inline constexpr int kShortTerms = 8 * kShortSteps * kStep, kLongTerms = kWarps * kLongSteps * kStep;
inline constexpr int kMostLayers = 28;
inline constexpr int kHeads = kPairHeads, kDim = kPairDim;
inline constexpr int kRecord = kPairRecord;
// Barriers: of the first half, of each group of warps.
inline constexpr int kHalfBarrier = 1, kGroupBarrier = 2;

using Norm = AddedNorm<bf16_t, kHalf, 8, 1, kHalfBarrier>;
static_assert(kHalf == kAddNormThreads);
// Of attention: warps that score keys, a tile each, before all of the half weigh values, a tile of dimensions each.
inline constexpr int kScoreThreads = 32 * kTiles;
static_assert(kHalf == 32 * kDimTiles && kHalf == 2 * kScoreThreads && kHalf == kHeads * kDim);
inline constexpr int kRowChunks = kDim / 8,
                     kThreadChunks = kPart * kRowChunks / kScoreThreads;  // of 16 bytes

struct Layer {
  const bf16_t *q, *k, *v, *o, *gate, *up, *down;
  const float *attention_norm, *mlp_input_norm, *mlp_norm, *next_norm;
  bf16_t *keys, *values;
};

// Weights pass through a ring in shared memory. A stage has rows of weights, `row_bytes(in)` apart.
inline constexpr int kStages = 3, kStageBytes = 16 * 3136, kPieces = 4, kAhead = 2;
// Eight rows at one column lie in different banks, in steps of 64 bytes.
constexpr int row_bytes(int in) { return (in / kStep | 1) * 2 * kStep; }

// How the features of a product are shared: so many for a block, which has them in `stages`, there each group of warps `width`.
struct Split {
  int columns, stages, width;
};

struct RowArguments {
  Layer layers[kMostLayers];
  int layer_count, hidden, q_out, kv_out, inner;
  Split qkv, o, gated, down;
  bf16_t *x, *h;
  bf16_t *projected, *attended, *y, *activated;  // what blocks hand each other
  const float* table;
  std::int64_t sines_at;
  PagedAttention<bf16_t> paged;
  const std::int32_t* slots;
  std::int64_t slot_count;
  float* partial;  // [heads, parts, kRecord]
  int parts;       // the most
  std::int32_t *counters, *barrier;
  volatile std::int32_t* step_fault;
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

// On `grid` blocks. shared_bytes: what a block needs of shared memory.
void run_row(Context& context, const RowArguments& a, unsigned grid);
std::size_t shared_bytes();

}  // namespace glmocr::cuda::decoder
