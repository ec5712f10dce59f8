// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "kernels/cuda/launch.h"
#include "kernels/cuda/linear.cuh"
#include "kernels/cuda/linear_few.cuh"
#include "kernels/cuda/mma.cuh"
#include "kernels/cuda/norm.cuh"

// Products with few rows: the time is that of reading the weights once.
namespace glmocr::cuda {
namespace {

// Bound by memory: a block reads kFeatures · 16 rows of W once, for up to kRows · 8 rows of x. The features are
// the rows of the tensor cores' left operand, the rows of x the columns of the right one, so that a single row
// costs no more than eight. Each warp sums a range of the terms that depends on the weight alone
// (warps_of); then the ranges are added (sum_of_parts).
//
// The lane for columns 2t and 2t + 1 loads the eight terms from 8t on, of W and x alike, and feeds them to two
// products: that permutes the terms, the same way on both sides.
//
// Of a product with a second matrix a block has half as many features of each: eight of one, eight of the other, in
// turn.
template <int kWarps, int kFeatures, int kRows, int kUnroll, bool kGated, bool kNormed>
__global__ void __launch_bounds__(32 * kWarps, kRows == 1 && kWarps < 16 ? 24 / kWarps : 1)
    few_rows_kernel(const __grid_constant__ Group group) {
  constexpr int kThreads = 32 * kWarps, kColumns = kFeatures * (kGated ? 8 : 16);  // of the result
  static_assert(!kNormed || (kRows == 1 && kThreads == kAddNormThreads));
  __shared__ float partial[kWarps][kRows * 8][kFeatures * 16 + 1];
  let_next_start();
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
  const int which = group.product_of(static_cast<int>(blockIdx.x));
  const Bf16Product& p = group.products[which];
  const int feature0 = (blockIdx.x - group.blocks_before[which]) * kColumns, row0 = blockIdx.y * kRows * 8;
  const int steps = (p.in + kStep - 1) / kStep, per_warp = (steps + kWarps - 1) / kWarps;
  const int begin = warp * per_warp, end = min(begin + per_warp, steps);

  using Norm = AddedNorm<bf16_t, kAddNormThreads, 8, 1>;
  __shared__ __align__(16) bf16_t normed[kNormed ? Norm::kMostWidth : 8],
      summed[kNormed ? Norm::kMostWidth : 8];
  float sums[kFeatures][kRows][4] = {};
  uint4 w[kUnroll][kFeatures][2];
  const auto load_weights = [&](int first) {
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) {
      const int k = (first + u) * kStep + 8 * t;
#pragma unroll
      for (int i = 0; i < kFeatures * 2; ++i) {
        const int feature = feature0 + 8 * (kGated ? i / 2 : i) + g;
        const bool inside = first + u < end && k < p.in && feature < p.out;
        const bf16_t* matrix = kGated && i % 2 == 1 ? p.up : p.w;
        w[u][i / 2][i % 2] = inside ? load_once(matrix + std::int64_t{feature} * p.in + k) : uint4{};
      }
    }
  };
  const auto add_products = [&](int first) {
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) {
      if (first + u >= end) break;
      const int k = (first + u) * kStep + 8 * t;
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
        const int row = row0 + 8 * r + g;
        uint4 x{};
        if (row < p.rows && k < p.in) {
          x = *reinterpret_cast<const uint4*>(kNormed ? normed + k : p.x + row * p.x_stride + k);
        }
#pragma unroll
        for (int f = 0; f < kFeatures; ++f) {
          const uint4 a = w[u][f][0], b = w[u][f][1];
          mma(sums[f][r], {a.x, b.x, a.y, b.y}, x.x, x.y);
          mma(sums[f][r], {a.z, b.z, a.w, b.w}, x.z, x.w);
        }
      }
    }
  };
  load_weights(begin);  // weights do not change: no need to wait for them
  bool last = false;
  if constexpr (kNormed) {
    __shared__ float shared[32];
    __shared__ __align__(32) float norm_weights[2 * Norm::kMostWidth];
    Norm norm;
    norm.width = p.in;
    norm.fetch_weights(norm_weights, group.norm.weight, group.norm.next);
    wait_for_previous();
    norm.compute(group.norm.y, group.norm.x, norm_weights, group.norm.eps, shared);
    norm.store(normed, norm.result);
    norm.store(summed, norm.sum);
    __syncthreads();
    if (threadIdx.x == 0) last = atomicAdd(group.counter, 1) == static_cast<int>(gridDim.x) - 1;
  } else {
    wait_for_previous();
  }
  add_products(begin);
  for (int first = begin + kUnroll; first < end; first += kUnroll) {
    load_weights(first);
    add_products(first);
  }

#pragma unroll
  for (int f = 0; f < kFeatures; ++f) {
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
#pragma unroll
      for (int i = 0; i < 4; ++i)
        partial[warp][8 * r + 2 * t + i % 2][16 * f + g + i / 2 * 8] = sums[f][r][i];
    }
  }
  if constexpr (kNormed) {
    if (__syncthreads_or(last)) {
      for (int i = threadIdx.x * 8; i < p.in; i += kThreads * 8) {
        *reinterpret_cast<uint4*>(group.norm.x + i) = *reinterpret_cast<const uint4*>(summed + i);
        *reinterpret_cast<uint4*>(group.norm.out + i) = *reinterpret_cast<const uint4*>(normed + i);
      }
      if (last) *group.counter = 0;
    }
  } else {
    __syncthreads();
  }
  const auto sum_of = [&](int row, int feature) {
    return sum_of_parts<kWarps>([&](int part) { return partial[part][row][feature]; });
  };
  for (int i = threadIdx.x; i < kRows * 8 * kColumns; i += kThreads) {
    const int column = i % kColumns, row = i / kColumns;
    if (row0 + row >= p.rows || feature0 + column >= p.out) continue;
    if constexpr (kGated) {
      const int gate = column / 8 * 16 + column % 8;
      p.finish_gated(sum_of(row, gate), sum_of(row, gate + 8), row0 + row, feature0 + column);
    } else {
      p.finish(sum_of(row, column), row0 + row, feature0 + column);
    }
  }
}

template <int kWarps, int kFeatures, int kRows, int kUnroll, bool kGated, bool kNormed = false>
void run(Context& context, Group group) {
  const int blocks = group.number_blocks(kFeatures * (kGated ? 8 : 16));
  const dim3 grid(blocks, blocks_for(group.products[0].rows, kRows * 8));
  launch(context, "linear", few_rows_kernel<kWarps, kFeatures, kRows, kUnroll, kGated, kNormed>, grid,
         32 * kWarps, 0, group);
}

// Bound by memory: many rows would be read again by every block of few_rows_kernel, which takes longer than reading the
// weights. So a block keeps its rows in shared memory and has tiles of sixteen features one after the other. Each group
// of kParts warps has a tile; a warp fetches the weights of the next one while it multiplies. Sums have the order of
// few_rows_kernel with kParts warps.
constexpr int kSharedWarps = 16;

template <int kParts_, int kRows_, int kDepth_, bool kGated_>
struct SharedRows {
  static constexpr int kParts = kParts_, kRows = kRows_, kDepth = kDepth_;  // kDepth: steps fetched at once
  static constexpr bool kGated = kGated_;
  static constexpr int kGroups = kSharedWarps / kParts, kColumns = kGated ? 8 : 16;
  static constexpr int kPartial = kParts * kRows * 8 * 17;  // sums of a tile
  static std::size_t shared(int in) {
    return kGroups * 2 * kPartial * sizeof(float) + std::size_t{kRows * 8} * stride(in) * sizeof(bf16_t);
  }
  // Of a row in shared memory: eight rows at one column lie in different banks, in steps of 64 bytes.
  __host__ __device__ static int stride(int in) { return (in + kStep - 1) / kStep * kStep + kStep; }
};

template <class S>
__global__ void __launch_bounds__(32 * kSharedWarps, 1)
    shared_rows_kernel(const __grid_constant__ Group group) {
  constexpr int kThreads = 32 * kSharedWarps, kGroupThreads = 32 * S::kParts;
  extern __shared__ __align__(16) std::byte memory[];
  float* sums_of_all = reinterpret_cast<float*>(memory);
  bf16_t* rows = reinterpret_cast<bf16_t*>(memory + S::kGroups * 2 * S::kPartial * sizeof(float));
  let_next_start();
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
  const int own = warp / S::kParts, part = warp % S::kParts;  // group, and warp of it
  const Bf16Product& first = group.products[0];
  const int in = first.in, row0 = blockIdx.y * S::kRows * 8, stride = S::stride(in);
  const int steps = (in + kStep - 1) / kStep, per_warp = (steps + S::kParts - 1) / S::kParts;
  const int begin = part * per_warp, end = min(begin + per_warp, steps);
  const int rounds = (per_warp + S::kDepth - 1) / S::kDepth;
  const int tiles = group.blocks_before[group.count];

  int which = 0;
  const auto product_of = [&](int tile) {
    while (which + 1 < group.count && tile >= group.blocks_before[which + 1]) ++which;
    return which;
  };
  // The weights of one round of a tile: of gate and up in turn where there are both.
  const bf16_t* matrix[2] = {};
  const auto load_step = [&](uint4(&w)[2], int step) {
    const int k = step * kStep + 8 * t;
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      w[i] = matrix[i] && step < end && k < in ? load_once(matrix[i] + k) : uint4{};
    }
  };
  const auto enter = [&](int tile) {
    if (tile >= tiles) {
      matrix[0] = matrix[1] = nullptr;
      return;
    }
    const int index = product_of(tile);
    const Bf16Product& p = group.products[index];
    const int feature0 = (tile - group.blocks_before[index]) * S::kColumns;
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const int feature = feature0 + (S::kGated ? 0 : 8 * i) + g;
      const bf16_t* from = S::kGated && i == 1 ? p.up : p.w;
      matrix[i] = feature < p.out ? from + std::int64_t{feature} * in : nullptr;
    }
  };

  uint4 w[S::kDepth][2];
  int tile = blockIdx.x + own * gridDim.x;
  enter(tile);
#pragma unroll
  for (int u = 0; u < S::kDepth; ++u) load_step(w[u], begin + u);
  wait_for_previous();
  for (int i = threadIdx.x; i < S::kRows * 8 * steps * 4; i += kThreads) {
    const int row = i / (steps * 4), k = i % (steps * 4) * 8;
    const bool valid = row0 + row < first.rows && k < in;
    copy_16(shared_address(rows + row * stride + k),
            valid ? first.x + (row0 + row) * first.x_stride + k : first.x, valid);
  }
  commit_copies();
  wait_for_copies<0>();
  __syncthreads();

  int buffer = 0;
  for (; tile < tiles; tile += gridDim.x * S::kGroups) {
    const int index = product_of(tile);
    const Bf16Product& p = group.products[index];
    const int feature0 = (tile - group.blocks_before[index]) * S::kColumns;
    float sums[S::kRows][4] = {};
    for (int round = 0; round < rounds; ++round) {
      const int base = begin + round * S::kDepth;
      const bool last = round + 1 == rounds;
      if (last) enter(tile + gridDim.x * S::kGroups);
      const int next = last ? begin : base + S::kDepth;
#pragma unroll
      for (int u = 0; u < S::kDepth; ++u) {
        if (base + u < end) {
#pragma unroll
          for (int r = 0; r < S::kRows; ++r) {
            const uint4 x =
                *reinterpret_cast<const uint4*>(rows + (8 * r + g) * stride + (base + u) * kStep + 8 * t);
            const uint4 a = w[u][0], b = w[u][1];
            mma(sums[r], {a.x, b.x, a.y, b.y}, x.x, x.y);
            mma(sums[r], {a.z, b.z, a.w, b.w}, x.z, x.w);
          }
        }
        load_step(w[u], next + u);
      }
    }
    float* partial = sums_of_all + (own * 2 + buffer) * S::kPartial;
    buffer ^= 1;
#pragma unroll
    for (int r = 0; r < S::kRows; ++r) {
#pragma unroll
      for (int i = 0; i < 4; ++i)
        partial[(part * S::kRows * 8 + 8 * r + 2 * t + i % 2) * 17 + g + i / 2 * 8] = sums[r][i];
    }
    // The other buffer is free when all have come here again.
    asm volatile("bar.sync %0, %1;" ::"r"(1 + own), "n"(kGroupThreads) : "memory");
    const auto sum_of = [&](int row, int feature) {
      return sum_of_parts<S::kParts>(
          [&](int other) { return partial[(other * S::kRows * 8 + row) * 17 + feature]; });
    };
    for (int i = threadIdx.x % kGroupThreads; i < S::kRows * 8 * S::kColumns; i += kGroupThreads) {
      const int column = i % S::kColumns, row = i / S::kColumns;
      if (row0 + row >= p.rows || feature0 + column >= p.out) continue;
      if constexpr (S::kGated) {
        p.finish_gated(sum_of(row, column), sum_of(row, column + 8), row0 + row, feature0 + column);
      } else {
        p.finish(sum_of(row, column), row0 + row, feature0 + column);
      }
    }
  }
}

// Long rows do not fit into shared memory. So each warp copies its terms of all rows there piece by piece, the next one while
// it multiplies. Everything else is as in few_rows_kernel<16, 1, kRows, 9, kGated>.
template <int kRows_, bool kGated_>
struct LongRows {
  static constexpr int kWarps = 16, kRows = kRows_, kSteps = 9, kPiece = 3;  // steps of a warp, of a piece
  static constexpr bool kGated = kGated_;
  static constexpr int kColumns = kGated ? 8 : 16;
  static constexpr int kRowTerms =
      kPiece * kStep;  // 192 bytes: eight rows at one column lie in different banks
  static constexpr int kPieceTerms = kRows * 8 * kRowTerms;
  static constexpr std::size_t kShared = std::size_t{kWarps} * 2 * kPieceTerms * sizeof(bf16_t);
  static constexpr int kMostTerms = kWarps * kSteps * kStep;
};

template <class S>
__global__ void __launch_bounds__(32 * S::kWarps, 1) long_rows_kernel(const __grid_constant__ Bf16Product p) {
  extern __shared__ __align__(16) std::byte memory[];
  __shared__ float partial[S::kWarps][S::kRows * 8][17];
  let_next_start();
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
  const int feature0 = blockIdx.x * S::kColumns, row0 = blockIdx.y * S::kRows * 8;
  const int steps = (p.in + kStep - 1) / kStep, per_warp = (steps + S::kWarps - 1) / S::kWarps;
  const int begin = warp * per_warp, end = min(begin + per_warp, steps);
  uint4 w[S::kSteps][2];
#pragma unroll
  for (int u = 0; u < S::kSteps; ++u) {
    const int k = (begin + u) * kStep + 8 * t;
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const int feature = feature0 + (S::kGated ? 0 : 8 * i) + g;
      const bool inside = begin + u < end && k < p.in && feature < p.out;
      const bf16_t* matrix = S::kGated && i == 1 ? p.up : p.w;
      w[u][i] = inside ? load_once(matrix + std::int64_t{feature} * p.in + k) : uint4{};
    }
  }
  wait_for_previous();
  bf16_t* own = reinterpret_cast<bf16_t*>(memory) + warp * 2 * S::kPieceTerms;
  const auto fetch = [&](int piece) {
    constexpr int kChunks = S::kRowTerms / 8;
    bf16_t* to = own + piece % 2 * S::kPieceTerms;
    for (int i = lane; i < S::kRows * 8 * kChunks; i += 32) {
      const int row = i / kChunks, k = (begin + piece * S::kPiece) * kStep + i % kChunks * 8;
      const bool valid = row0 + row < p.rows && k < min(end * kStep, p.in);
      copy_16(shared_address(to + i * 8), valid ? p.x + (row0 + row) * p.x_stride + k : p.x, valid);
    }
    commit_copies();
  };
  fetch(0);
  float sums[S::kRows][4] = {};
#pragma unroll
  for (int piece = 0; piece < S::kSteps / S::kPiece; ++piece) {
    fetch(piece + 1);  // nothing behind the last one
    wait_for_copies<1>();
    __syncwarp();
    const bf16_t* rows = own + piece % 2 * S::kPieceTerms;
#pragma unroll
    for (int v = 0; v < S::kPiece; ++v) {
      const int u = piece * S::kPiece + v;
      if (begin + u >= end) break;
#pragma unroll
      for (int r = 0; r < S::kRows; ++r) {
        const uint4 x =
            *reinterpret_cast<const uint4*>(rows + (8 * r + g) * S::kRowTerms + v * kStep + 8 * t);
        const uint4 a = w[u][0], b = w[u][1];
        mma(sums[r], {a.x, b.x, a.y, b.y}, x.x, x.y);
        mma(sums[r], {a.z, b.z, a.w, b.w}, x.z, x.w);
      }
    }
    __syncwarp();
  }
#pragma unroll
  for (int r = 0; r < S::kRows; ++r) {
#pragma unroll
    for (int i = 0; i < 4; ++i) partial[warp][8 * r + 2 * t + i % 2][g + i / 2 * 8] = sums[r][i];
  }
  __syncthreads();
  const auto sum_of = [&](int row, int feature) {
    return sum_of_parts<S::kWarps>([&](int other) { return partial[other][row][feature]; });
  };
  for (int i = threadIdx.x; i < S::kRows * 8 * S::kColumns; i += 32 * S::kWarps) {
    const int column = i % S::kColumns, row = i / S::kColumns;
    if (row0 + row >= p.rows || feature0 + column >= p.out) continue;
    if constexpr (S::kGated) {
      p.finish_gated(sum_of(row, column), sum_of(row, column + 8), row0 + row, feature0 + column);
    } else {
      p.finish(sum_of(row, column), row0 + row, feature0 + column);
    }
  }
}

template <class S>
bool run_long(Context& context, const Group& group) {
  const Bf16Product& p = group.products[0];
  constexpr std::size_t kPartial = sizeof(float) * S::kWarps * S::kRows * 8 * 17;
  if (group.count > 1 || p.in > S::kMostTerms || S::kShared + kPartial > context.shared_memory) return false;
  const dim3 grid(blocks_for(p.out, S::kColumns), blocks_for(p.rows, S::kRows * 8));
  launch(context, "linear", long_rows_kernel<S>, grid, 32 * S::kWarps, S::kShared, p);
  return true;
}

template <class S>
void run_shared(Context& context, Group group) {
  const int tiles = group.number_blocks(S::kColumns);
  const Bf16Product& p = group.products[0];
  const int row_blocks = static_cast<int>(blocks_for(p.rows, S::kRows * 8));
  // All blocks run at once, so weights that several of them read come from memory once.
  const dim3 grid(std::min(tiles, std::max(1, context.processors / row_blocks)), row_blocks);
  launch(context, "linear", shared_rows_kernel<S>, grid, 32 * kSharedWarps, S::shared(p.in), group);
}

constexpr int kNormedWarps = kAddNormThreads / 32;

// The number of warps decides the order of the sums, so it depends on the weight alone.
template <int kWarps, bool kGated>
void run_warps(Context& context, const Group& group) {
  constexpr int kUnroll =
      kWarps == 16 ? 9 : 6;  // 1536 terms in eight parts and 4608 in sixteen: one load each
  const int rows = group.products[0].rows;
  if constexpr (kWarps == kNormedWarps) {
    if (group.normed) return run<kWarps, 1, 1, kUnroll, kGated, true>(context, group);
  }
  if (rows <= 8) return run<kWarps, 1, 1, kUnroll, kGated>(context, group);
  if constexpr (kWarps == 16) {
    if (rows <= 16) {
      if (!run_long<LongRows<2, kGated>>(context, group)) run<kWarps, 1, 2, kUnroll, kGated>(context, group);
    } else {
      if (!run_long<LongRows<4, kGated>>(context, group)) run<kWarps, 1, 4, kUnroll, kGated>(context, group);
    }
  } else {
    using Shared16 = SharedRows<kWarps, 2, 6, kGated>;
    using Shared32 = SharedRows<kWarps, 4, 6, kGated>;
    const int in = group.products[0].in;
    if (rows <= 16 && Shared16::shared(in) <= context.shared_memory)
      return run_shared<Shared16>(context, group);
    if (rows > 16 && Shared32::shared(in) <= context.shared_memory)
      return run_shared<Shared32>(context, group);
    rows <= 16 ? run<kWarps, 1, 2, kUnroll, kGated>(context, group)
               : run<kWarps, 2, 4, 3, kGated>(context, group);
  }
}

// A great many features give many blocks: fewer warps in each let more of them run at once.
int warps_of(const Bf16Product& p) { return p.in > 2048 ? 16 : p.out >= 16384 ? 4 : 8; }

template <bool kGated>
void run_group(Context& context, const Group& group) {
  const int warps = warps_of(group.products[0]);
  if (context.hopper && !group.normed && run_few_rows_sm90(context, group, warps)) return;
  if (warps == 4) return run_warps<4, kGated>(context, group);
  if (warps == 8) return run_warps<8, kGated>(context, group);
  run_warps<16, kGated>(context, group);
}
void run_group(Context& context, const Group& group) {
  group.products[0].up ? run_group<true>(context, group) : run_group<false>(context, group);
}

// Where the results of a product lie; between the first and the last of its rows may be columns of others.
Range results_of(const Bf16Product& p) {
  const bf16_t* end = p.y + (p.rows - 1) * p.y_stride + p.out;
  return {reinterpret_cast<const std::byte*>(p.y), reinterpret_cast<const std::byte*>(end)};
}

// Whether a product's results lie where a norm reads or writes, such as its y, which may have been given back since: other
// blocks still read there, and the last one writes.
bool overwrites(const Bf16Product& p, const AddNorm& norm) {
  const Range results = results_of(p);
  const auto overlaps = [&](const bf16_t* row) {
    return results.overlaps(
        {reinterpret_cast<const std::byte*>(row), reinterpret_cast<const std::byte*>(row + norm.width)});
  };
  return overlaps(norm.y) || overlaps(norm.x) || overlaps(norm.out);
}

// Whether a product writes over results of one before it: products of one launch have no order. Other columns of the same
// rows are other memory.
bool overwrites(const Bf16Product& p, const Bf16Product& before) {
  if (!results_of(p).overlaps(results_of(before))) return false;
  if (p.rows == 1 || p.y_stride != before.y_stride) return true;
  const std::int64_t stride = p.y_stride, column = ((p.y - before.y) % stride + stride) % stride;
  return column < before.out || column + p.out > stride;
}

bool fits(const Group& group, const Bf16Product& p) {
  const Bf16Product& first = group.products[0];
  if (group.normed && overwrites(p, group.norm)) return false;
  for (int i = 0; i < group.count; ++i) {
    if (overwrites(p, group.products[i])) return false;
  }
  // A residual may be the result of the product before.
  return group.count < Group::kMost && !p.residual && !first.residual && !p.up && !first.up &&
         p.x == first.x && p.x_stride == first.x_stride && p.rows == first.rows && p.in == first.in &&
         warps_of(p) == warps_of(first);
}

}  // namespace

// In a recorded step consecutive products of the same rows become one launch: nothing between them can have
// changed the rows, nothing reads a result before the launch, and no result takes the place of another. Where the row is that
// of an add_norm just before, the launch computes that too.
void run_few_rows(Context& context, const Bf16Product& p) {
  if (!context.recording) return run_group(context, Group{.products = {p}, .blocks_before = {}, .count = 1});
  const auto* norm = static_cast<const AddNorm*>(context.delayed_norm.get());
  const bool normed = norm && norm->out == p.x && norm->rows == p.rows && norm->width == p.in &&
                      !p.residual && warps_of(p) == kNormedWarps && !overwrites(p, *norm);
  if (normed || !context.delayed_group || !fits(*static_cast<Group*>(context.delayed_group.get()), p)) {
    const auto group = std::make_shared<Group>();
    if (normed) {
      group->norm = *norm;
      group->normed = true;
      group->counter = context.counters + kCounters;
      context.take_delayed();
    } else {
      context.run_delayed();
    }
    context.delayed_group = group;
    context.delayed = [&context, group] { run_group(context, *group); };
  }
  Group& group = *static_cast<Group*>(context.delayed_group.get());
  group.products[group.count++] = p;
}

}  // namespace glmocr::cuda
