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
template <int kWarps, int kFeatures, int kRows, int kUnroll>
__global__ void __launch_bounds__(32 * kWarps, kRows == 1 && kWarps == 8 ? 3 : 1)
    few_rows_kernel(const __grid_constant__ Group group) {
  constexpr int kThreads = 32 * kWarps;
  __shared__ float partial[kWarps][kRows * 8][kFeatures * 16 + 1];
  let_next_start();
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
  int which = 0;
  while (which + 1 < group.count && static_cast<int>(blockIdx.x) >= group.blocks_before[which + 1]) ++which;
  const Bf16Product& p = group.products[which];
  const int feature0 = (blockIdx.x - group.blocks_before[which]) * kFeatures * 16,
            row0 = blockIdx.y * kRows * 8;
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
        const int feature = feature0 + 8 * i + g;
        const bool inside = first + u < end && k < p.in && feature < p.out;
        w[u][i / 2][i % 2] = inside ? load_once(p.w + std::int64_t{feature} * p.in + k) : uint4{};
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
  for (int i = threadIdx.x; i < kRows * 8 * kFeatures * 16; i += kThreads) {
    const int feature = i % (kFeatures * 16), row = i / (kFeatures * 16);
    float sum = 0;
#pragma unroll
    for (int other = 0; other < kWarps; ++other) sum += partial[other][row][feature];
    if (row0 + row < p.rows && feature0 + feature < p.out) p.finish(sum, row0 + row, feature0 + feature);
  }
}

template <int kWarps, int kFeatures, int kRows, int kUnroll>
void run(Context& context, Group group) {
  unsigned blocks = 0;
  for (int i = 0; i < group.count; ++i) {
    group.blocks_before[i] = static_cast<int>(blocks);
    blocks += blocks_for(group.products[i].out, kFeatures * 16);
  }
  const dim3 grid(blocks, blocks_for(group.products[0].rows, kRows * 8));
  launch(context, "linear", few_rows_kernel<kWarps, kFeatures, kRows, kUnroll>, grid, 32 * kWarps, 0, group);
}

// The number of warps decides the order of the sums, so it depends on `in` alone.
template <int kWarps>
void run_warps(Context& context, const Group& group) {
  constexpr int kUnroll = kWarps == 8 ? 6 : 9;  // 1536 and 4608 terms: one load each
  const int rows = group.products[0].rows;
  if (rows <= 8) return run<kWarps, 1, 1, kUnroll>(context, group);
  if (rows <= 16) return run<kWarps, 1, 2, kUnroll>(context, group);
  if constexpr (kWarps == 8) {
    run<kWarps, 2, 4, 3>(context, group);
  } else {
    run<kWarps, 1, 4, 5>(context, group);
  }
}

void run_group(Context& context, const Group& group) {
  group.products[0].in <= 2048 ? run_warps<8>(context, group) : run_warps<16>(context, group);
}

bool fits(const Group& group, const Bf16Product& p) {
  const Bf16Product& first = group.products[0];
  // A residual may be the result of the product before.
  return group.count < Group::kMost && !p.residual && !first.residual && p.x == first.x &&
         p.x_stride == first.x_stride && p.rows == first.rows && p.in == first.in;
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
