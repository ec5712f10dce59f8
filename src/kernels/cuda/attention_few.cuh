// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <algorithm>

#include "base/numbers.h"
#include "kernels/cuda/attention.cuh"
#include "kernels/cuda/mma.cuh"
#include "kernels/cuda/values.cuh"

// Attention of few rows, which is computed in parts of a row's context: what its kernels share.
namespace glmocr::cuda {

inline constexpr int kPart = 64;  // keys of a part: parts begin at multiples of it, whatever the context

inline int part_count(std::int64_t max_context) {
  return static_cast<int>(divide_up(max_context, std::int64_t{kPart}));
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

// --- what is launched

template <class T>
struct FewArguments {
  PagedAttention<T> a;
  float* partial;  // [rows, heads, parts, 2 + dim]: largest score, sum of the weights, weighted values
  std::int32_t* counters;
  int parts, per_block;  // the most parts of a row; of a block
};

template <class T>
FewArguments<T> few_arguments(const Context& context, const PagedAttention<T>& a, int max_context,
                              float* partial) {
  return {a, partial, context.counters, std::max(1, part_count(max_context)), 1};
}

// How many parts a block has: more than one where there are more than `blocks` parts in all; those of a context are shared out
// evenly.
inline int parts_per_block(int contexts, int parts, int blocks) {
  constexpr int kMost = 16;
  const int most = std::clamp(divide_up(contexts * parts, blocks), 1, kMost);
  return divide_up(parts, divide_up(parts, most));
}

// Keys and values of rows that are each the next token of a sequence, and where they go, as in rope_kv_write. Neither the keys
// nor the rows' queries have been turned. A slot is that of the last token of the row's context, or -1.
struct NextTokens {
  const bf16_t *k, *v;
  std::int64_t k_row, k_head, v_row, v_head;  // strides
  const float* table;                         // cosines; sines_at behind them sines
  std::int64_t sines_at;
  bf16_t *keys, *values;  // [pages, kv_heads, page_size, dim]
  const std::int32_t* slots;
  std::int64_t slot_count;
};

// Two query heads a kv head, in bf16, head_dim 128; rows of q, k and v at multiples of 16 bytes. `next` only where
// pieces_are_paged.
void run_pairs(Context& context, const FewArguments<bf16_t>& args, const NextTokens* next = nullptr);
// Whether no half of a part lies in two pages.
bool pieces_are_paged(int page_size);

// The sequence of a row, a.sequences where it has none.
struct RowOf {
  int sequence, first_row, end_row, context;
};
// Mostly row i is the one row of sequence i: what that needs is read at once, without waiting for the search. load(sequence) reads
// more of it. For all threads of a block, which share `found`.
template <int kThreads, class T, class Load>
__device__ __forceinline__ RowOf row_of(const PagedAttention<T>& a, int row, int* found, const Load& load) {
  RowOf result{};
  const auto take = [&](int sequence) {
    result = {sequence, a.row_starts[sequence], a.row_starts[sequence + 1], a.context_lens[sequence]};
    load(sequence);
  };
  take(min(row, a.sequences - 1));
  if (result.first_row <= row && row < result.end_row) return result;
  const int tid = threadIdx.x;
  if (tid == 0) *found = a.sequences;
  __syncthreads();
  for (int s = tid; s < a.sequences; s += kThreads) {
    if (a.row_starts[s] <= row && row < a.row_starts[s + 1]) *found = s;
  }
  __syncthreads();
  const int sequence = *found;
  if (sequence == a.sequences) {
    result.sequence = sequence;
    return result;
  }
  take(sequence);
  __syncthreads();  // `found` is used once more
  return result;
}

// How many keys a row sees; 0: none, as for a row without a sequence.
template <class T>
__device__ __forceinline__ int keys_of(const PagedAttention<T>& a, int row, const RowOf& place) {
  return place.sequence == a.sequences ? 0 : a.keys_seen(row, place.end_row, place.context);
}

// The last block of a row's heads joins the records of their parts: `width` results in y. For all threads of a block.
template <int kThreads, class T>
__device__ __forceinline__ void join_records(const FewArguments<T>& args, int row, int parts, int width,
                                             const float* partial, T* y, int* found) {
  __threadfence();
  __syncthreads();
  const int tid = threadIdx.x, dim = args.a.dim, record = 2 + dim;
  std::int32_t* counter = args.counters + row * gridDim.y + blockIdx.y;
  const int blocks = (parts + args.per_block - 1) / args.per_block;
  if (tid == 0) *found = atomicAdd(counter, 1) == blocks - 1;
  __syncthreads();
  if (!*found) return;
  __threadfence();
#pragma unroll 2
  for (int i = tid; i < width; i += kThreads) {
    const int h = i / dim, d = i % dim;
    y[i] = from_float<T>(joined_records(partial + h * args.parts * record, record, parts, d));
  }
  if (tid == 0) *counter = 0;
}

// --- two query heads of a kv head in bf16, head_dim 128: a part by tensor cores, in tiles of 16 keys. Lane 4·g + t of a warp. Every
// sum has one order, whoever computes it.

inline constexpr int kPairHeads = 2, kPairDim = 128;  // query heads of a kv head; head_dim
inline constexpr int kPairRecord =
    2 + kPairDim;  // of a part: largest score, sum of the weights, weighted values
inline constexpr int kTileKeys = 16, kTiles = kPart / kTileKeys;
inline constexpr int kDimTiles = kPairDim / 16;

// Scores of 16 keys: s[0], s[1] of key g for both heads, s[2], s[3] of key g + 8; before they are scaled. `one` and `other` are
// those keys, `q` is head g % 2: of each the values 32 j + 8 t … 32 j + 8 t + 7 of every j.
__device__ __forceinline__ void score_tile(float (&s)[4], const uint4 (&one)[4], const uint4 (&other)[4],
                                           const uint4 (&q)[4]) {
  float more[4] = {};
#pragma unroll
  for (int i = 0; i < 4; ++i) s[i] = 0;
#pragma unroll
  for (int j = 0; j < 4; ++j) {
    mma(s, {one[j].x, other[j].x, one[j].y, other[j].y}, q[j].x, q[j].y);
    mma(more, {one[j].z, other[j].z, one[j].w, other[j].w}, q[j].z, q[j].w);
  }
#pragma unroll
  for (int i = 0; i < 4; ++i) s[i] += more[i];
}

// A weight is the sum of three numbers of bf16; that number `piece` of them. 3: none.
__device__ __forceinline__ float piece_of(float weight, int piece) {
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    if (piece > i) weight -= rounded<bf16_t>(weight);
  }
  return piece == 3 ? 0 : weight;
}

struct PartWeights {
  float largest[kPairHeads], total[kPairHeads];
  // The right operand for the values of each tile: of its columns 2i and 2i + 1 are piece i of the heads' weights.
  std::uint32_t pieces[kTiles][2];
};

// From the scores of a part, as score_tile gives them; the first `count` keys exist.
__device__ __forceinline__ PartWeights weigh(float (&s)[kTiles][4], int count, float scale, int g, int t) {
  PartWeights w;
#pragma unroll
  for (int h = 0; h < kPairHeads; ++h) {
    float most = -INFINITY;
#pragma unroll
    for (int i = 0; i < kTiles; ++i) {
#pragma unroll
      for (int r = 0; r < 2; ++r) {
        float& score = s[i][2 * r + h];
        score = i * kTileKeys + 8 * r + g < count ? score * scale : -INFINITY;
        most = fmaxf(most, score);
      }
    }
#pragma unroll
    for (int step = 4; step < 32; step *= 2) most = fmaxf(most, __shfl_xor_sync(0xffffffffu, most, step));
    const float base = most == -INFINITY ? 0 : most;
    float sum = 0;
#pragma unroll
    for (int i = 0; i < kTiles; ++i) {
#pragma unroll
      for (int r = 0; r < 2; ++r) {
        float& score = s[i][2 * r + h];
        score = expf(score - base);
        sum += score;
        score = piece_of(score, t);
      }
    }
#pragma unroll
    for (int step = 4; step < 32; step *= 2) sum += __shfl_xor_sync(0xffffffffu, sum, step);
    w.largest[h] = most;
    w.total[h] = sum;
  }
#pragma unroll
  for (int i = 0; i < kTiles; ++i) {
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      w.pieces[i][r] = transposed(pack_bf16(s[i][2 * r], s[i][2 * r + 1]));
    }
  }
  return w;
}

// Adds the values of 16 keys, weighted, in 64 dimensions. values: of keys 2t, 2t + 1, 2t + 8, 2t + 9 those of eight dimensions from
// 8 g on; row g of sums[i] is dimension 8 g + i, row g + 8 dimension 8 g + 4 + i.
__device__ __forceinline__ void add_tile(float (*sums)[4], const uint4 (&values)[4],
                                         const std::uint32_t (&pieces)[2]) {
  const auto word = [&](int key, int w) {
    const uint4& v = values[key];
    return w == 0 ? v.x : w == 1 ? v.y : w == 2 ? v.z : v.w;
  };
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const auto pair = [&](int key, int w) {
      return __byte_perm(word(key, w), word(key + 1, w), i % 2 == 0 ? 0x5410 : 0x7632);
    };
    mma(sums[i], {pair(0, i / 2), pair(0, 2 + i / 2), pair(2, i / 2), pair(2, 2 + i / 2)}, pieces[0],
        pieces[1]);
  }
}

// A lane's share of the sum of a tile's pieces: head t % 2, row g of the tile where t < 2, else row g + 8. The first piece decides
// where it is not finite: it times infinity is infinite, but that times a rest of zero is no number.
__device__ __forceinline__ float sum_of_pieces(const float (&sums)[4], int t) {
  float s[4];
#pragma unroll
  for (int i = 0; i < 4; ++i) s[i] = t == 0 || fabsf(sums[i]) < INFINITY ? sums[i] : 0;
  const bool second_head = t % 2 != 0, second_row = t >= 2;
  const float one = (second_head ? s[1] : s[0]) + __shfl_xor_sync(0xffffffffu, second_head ? s[0] : s[1], 1);
  const float other =
      (second_head ? s[3] : s[2]) + __shfl_xor_sync(0xffffffffu, second_head ? s[2] : s[3], 1);
  return (second_row ? other : one) + __shfl_xor_sync(0xffffffffu, second_row ? one : other, 2);
}

}  // namespace glmocr::cuda
