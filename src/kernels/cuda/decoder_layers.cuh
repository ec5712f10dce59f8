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
static_assert(kAhead < kStages * kPieces);
// Eight rows at one column lie in different banks, in steps of 64 bytes.
constexpr int row_bytes(int in) { return (in / kStep | 1) * 2 * kStep; }

// How the features of a product are shared: so many for a block, which has them in `stages`, there each group of warps `width`.
struct Split {
  int columns, stages, width;
};

// What blocks hand each other, a place for each row. A value that has not come is kMissing, a NaN that from_float never gives:
// so blocks neither meet nor count. Every block waits in turn for the whole of each place but `projected`, and has features of
// o and down (decoder_layers.cu). So when a block has all of `mlp_out`, all blocks have read the layer's other places, and when
// it has all of `attention_out`, they have read the `mlp_out` of the layer before. Layers take turns with two of these.
struct Places {
  bf16_t projected[2 * kShortTerms], attended[kShortTerms], attention_out[Norm::kMostWidth],
      activated[kLongTerms], mlp_out[Norm::kMostWidth];
};
inline constexpr std::uint32_t kMissing = 0xFFFFFFFF;  // two of them
static_assert(2 * sizeof(Places) <= kPlacesWords * 4 && sizeof(Places) % 16 == 0 && kPlaces % 4 == 0);

struct RowArguments {
  Layer layers[kMostLayers];
  int layer_count, hidden, q_out, kv_out, inner;
  Split qkv, o, gated, down;
  bf16_t *x, *h;
  Places* places;  // two
  const float* table;
  std::int64_t sines_at;
  PagedAttention<bf16_t> paged;
  const std::int32_t* slots;
  std::int64_t slot_count;
  float* partial;           // [heads, parts, kRecord]
  int parts;                // the most
  std::uint32_t* counters;  // of parts, by kv head
  float eps;
};
static_assert(sizeof(RowArguments) <= 4096);

// Ends after two seconds of waiting: what has not come by then never will.
class Patience {
 public:
  // Asked between two looks.
  __device__ __forceinline__ bool ends() {
    if (++looks_ % 1024 != 0) return false;
    std::uint64_t now;
    asm volatile("mov.u64 %0, %globaltimer;" : "=l"(now));
    if (begin_ == 0) begin_ = now;
    return now - begin_ > 2'000'000'000;
  }

 private:
  int looks_ = 0;
  std::uint64_t begin_ = 0;
};

// On `grid` blocks. shared_bytes: what a block needs of shared memory.
void run_row(Context& context, const RowArguments& a, unsigned grid);
std::size_t shared_bytes();

}  // namespace glmocr::cuda::decoder
