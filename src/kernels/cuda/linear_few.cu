// SPDX-License-Identifier: Apache-2.0
#include "kernels/cuda/launch.h"
#include "kernels/cuda/linear.cuh"
#include "kernels/cuda/mma.cuh"

// Products with few rows: the time is that of reading the weights once.
namespace glmocr::cuda {
namespace {

constexpr int kStep = 32;  // terms that a warp adds at once

// Sixteen bytes of weights, which no other block reads.
__device__ __forceinline__ uint4 load_once(const void* address) {
  uint4 value;
  asm volatile("ld.global.nc.L1::no_allocate.L2::256B.v4.u32 {%0,%1,%2,%3}, [%4];"
               : "=r"(value.x), "=r"(value.y), "=r"(value.z), "=r"(value.w)
               : "l"(address));
  return value;
}

// Products of the same rows of x that one launch computes: q, k and v.
struct Group {
  static constexpr int kMost = 3;
  Bf16Product products[kMost];
  int blocks_before[kMost];  // where the blocks of each begin
  int count = 0;
};

// Bound by memory: a block reads kFeatures · 16 rows of W once, for up to kRows · 8 rows of x. The features are
// the rows of the tensor cores' left operand, the rows of x the columns of the right one, so that a single row
// costs no more than eight. Each warp sums a range of the terms that depends on `in` alone; then the ranges are
// added in order.
//
// The lane for columns 2t and 2t + 1 loads the eight terms from 8t on, of W and x alike, and feeds them to two
// products: that permutes the terms, the same way on both sides.
//
// Of a product with a second matrix a block has half as many features of each: eight of one, eight of the other, in
// turn.
template <int kWarps, int kFeatures, int kRows, int kUnroll, bool kGated>
__global__ void __launch_bounds__(32 * kWarps, kRows == 1 && kWarps < 16 ? 24 / kWarps : 1)
    few_rows_kernel(const __grid_constant__ Group group) {
  constexpr int kThreads = 32 * kWarps, kColumns = kFeatures * (kGated ? 8 : 16);  // of the result
  __shared__ float partial[kWarps][kRows * 8][kFeatures * 16 + 1];
  let_next_start();
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
  int which = 0;
  while (which + 1 < group.count && static_cast<int>(blockIdx.x) >= group.blocks_before[which + 1]) ++which;
  const Bf16Product& p = group.products[which];
  const int feature0 = (blockIdx.x - group.blocks_before[which]) * kColumns, row0 = blockIdx.y * kRows * 8;
  const int steps = (p.in + kStep - 1) / kStep, per_warp = (steps + kWarps - 1) / kWarps;
  const int begin = warp * per_warp, end = min(begin + per_warp, steps);

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
        if (row < p.rows && k < p.in) x = *reinterpret_cast<const uint4*>(p.x + row * p.x_stride + k);
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
  wait_for_previous();
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
  __syncthreads();
  const auto sum_of = [&](int row, int feature) {
    float sum = 0;
#pragma unroll
    for (int other = 0; other < kWarps; ++other) sum += partial[other][row][feature];
    return sum;
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

template <int kWarps, int kFeatures, int kRows, int kUnroll, bool kGated>
void run(Context& context, Group group) {
  unsigned blocks = 0;
  for (int i = 0; i < group.count; ++i) {
    group.blocks_before[i] = static_cast<int>(blocks);
    blocks += blocks_for(group.products[i].out, kFeatures * (kGated ? 8 : 16));
  }
  const dim3 grid(blocks, blocks_for(group.products[0].rows, kRows * 8));
  launch(context, "linear", few_rows_kernel<kWarps, kFeatures, kRows, kUnroll, kGated>, grid, 32 * kWarps, 0,
         group);
}

// The number of warps decides the order of the sums, so it depends on the weight alone.
template <int kWarps, bool kGated>
void run_warps(Context& context, const Group& group) {
  constexpr int kUnroll =
      kWarps == 16 ? 9 : 6;  // 1536 terms in eight parts and 4608 in sixteen: one load each
  const int rows = group.products[0].rows;
  if (rows <= 8) return run<kWarps, 1, 1, kUnroll, kGated>(context, group);
  if (rows <= 16) return run<kWarps, 1, 2, kUnroll, kGated>(context, group);
  if constexpr (kWarps == 16) {
    run<kWarps, 1, 4, 5, kGated>(context, group);
  } else {
    run<kWarps, 2, 4, 3, kGated>(context, group);
  }
}

// A great many features give many blocks: fewer warps in each let more of them run at once.
int warps_of(const Bf16Product& p) { return p.out >= 16384 ? 4 : p.in <= 2048 ? 8 : 16; }

template <bool kGated>
void run_group(Context& context, const Group& group) {
  const int warps = warps_of(group.products[0]);
  if (warps == 4) return run_warps<4, kGated>(context, group);
  if (warps == 8) return run_warps<8, kGated>(context, group);
  run_warps<16, kGated>(context, group);
}
void run_group(Context& context, const Group& group) {
  group.products[0].up ? run_group<true>(context, group) : run_group<false>(context, group);
}

bool fits(const Group& group, const Bf16Product& p) {
  const Bf16Product& first = group.products[0];
  // A residual may be the result of the product before.
  return group.count < Group::kMost && !p.residual && !first.residual && !p.up && !first.up &&
         p.x == first.x && p.x_stride == first.x_stride && p.rows == first.rows && p.in == first.in &&
         warps_of(p) == warps_of(first);
}

}  // namespace

// In a recorded step consecutive products of the same rows become one launch: nothing between them can have
// changed the rows, and nothing reads a result before the launch.
void run_few_rows(Context& context, const Bf16Product& p) {
  if (!context.recording) return run_group(context, Group{.products = {p}, .blocks_before = {}, .count = 1});
  if (!context.delayed || !fits(*static_cast<Group*>(context.delayed_group.get()), p)) {
    context.run_delayed();
    const auto group = std::make_shared<Group>();
    context.delayed_group = group;
    context.delayed = [&context, group] { run_group(context, *group); };
  }
  Group& group = *static_cast<Group*>(context.delayed_group.get());
  group.products[group.count++] = p;
}

}  // namespace glmocr::cuda
