// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <limits>

#include "kernels/cuda/convolution_tiles.cuh"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/wgmma.cuh"

namespace glmocr::cuda {
namespace {

// 64 rows of each warpgroup, and kColumns results of each row: a multiple of 32.
template <int kGroups, int kColumns_, int kStages_>
struct GroupTile {
  static constexpr int kRows = 64 * kGroups, kColumns = kColumns_, kStages = kStages_,
                       kThreads = 128 * kGroups;
  static constexpr int kStageBytes = (kRows + kColumns) * kRowBytes;
  static constexpr int kPitch = kColumns + 4;  // of the results in shared memory, in floats
  static constexpr std::size_t kShared = std::max(kStages * kStageBytes, 4 * kRows * kPitch);
  static constexpr int kBlocks =
      std::max<int>(1, std::min<int>(65536 / (128 * kThreads), 220 * 1024 / kShared));
};

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)

// As wgmma(), with 32 columns.
__device__ __forceinline__ void wgmma_32(float (&d)[4][4], const std::uint32_t (&a)[4], std::uint64_t b) {
  asm volatile(
      "wgmma.mma_async.sync.aligned.m64n32k16.f32.bf16.bf16 "
      "{%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15}, {%16,%17,%18,%19}, %20, 1, 1, 1, 0;\n"
      : "+f"(d[0][0]), "+f"(d[0][1]), "+f"(d[0][2]), "+f"(d[0][3]), "+f"(d[1][0]), "+f"(d[1][1]),
        "+f"(d[1][2]), "+f"(d[1][3]), "+f"(d[2][0]), "+f"(d[2][1]), "+f"(d[2][2]), "+f"(d[2][3]),
        "+f"(d[3][0]), "+f"(d[3][1]), "+f"(d[3][2]), "+f"(d[3][3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b));
}

// The sums of a warpgroup: 64 columns at a time, and 32 that remain.
template <int kColumns>
struct Sums {
  static constexpr int kWide = kColumns / 64;
  static constexpr bool kRest = kColumns % 64 != 0;
  float wide[kWide > 0 ? kWide : 1][8][4];
  float rest[4][4];

  __device__ __forceinline__ void clear() {
#pragma unroll
    for (int part = 0; part < kWide; ++part) {
#pragma unroll
      for (int i = 0; i < 32; ++i) wide[part][i / 4][i % 4] = 0;
    }
#pragma unroll
    for (int i = 0; i < 16; ++i) rest[i / 4][i % 4] = 0;
  }
  __device__ __forceinline__ void hold() {
#pragma unroll
    for (int part = 0; part < kWide; ++part) pin(wide[part]);
    if constexpr (kRest) pin(rest);
  }
  // `weights`: the first of 16 terms of the first column.
  __device__ __forceinline__ void add(const std::uint32_t (&a)[4], std::uint32_t weights) {
#pragma unroll
    for (int part = 0; part < kWide; ++part) {
      wgmma<false>(wide[part], a, tile_descriptor(weights + part * 64 * kRowBytes), true);
    }
    if constexpr (kRest) wgmma_32(rest, a, tile_descriptor(weights + kWide * 64 * kRowBytes));
  }
  // To rows of kPitch numbers; `to` is this lane's first row and column.
  template <int kPitch>
  __device__ __forceinline__ void store(float* to) const {
    const auto pair = [&](const float(&d)[4], int column) {
      *reinterpret_cast<float2*>(to + column) = {d[0], d[1]};
      *reinterpret_cast<float2*>(to + 8 * kPitch + column) = {d[2], d[3]};
    };
#pragma unroll
    for (int part = 0; part < kWide; ++part) {
#pragma unroll
      for (int j = 0; j < 8; ++j) pair(wide[part][j], 64 * part + 8 * j);
    }
    if constexpr (kRest) {
#pragma unroll
      for (int j = 0; j < 4; ++j) pair(rest[j], 64 * kWide + 8 * j);
    }
  }
};

// A warp's rows of a step, split.
struct Terms {
  std::uint32_t high[2][4], low[2][4];
  __device__ __forceinline__ void load(std::uint32_t tile, int row) {
#pragma unroll
    for (int k = 0; k < 2; ++k) load_halves(high[k], low[k], tile, row, k);
  }
  __device__ __forceinline__ void hold() {
    pin(high);
    pin(low);
  }
};

#endif

// Bound by the tensor cores. As tile_kernel of convolution_tiles.cu, with products of whole warpgroups: a map's numbers are
// split on their way from shared memory to registers, the weights lie there as two numbers already.
template <class S>
__global__ void __launch_bounds__(S::kThreads, S::kBlocks)
    group_tile_kernel([[maybe_unused]] const __grid_constant__ Convolution<float, bf16_t> c) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  extern __shared__ __align__(1024) std::byte shared[];
  let_next_start();
  const int row0 = blockIdx.x * S::kRows, column0 = blockIdx.y * S::kColumns;
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  Copier<float, bf16_t, S> copier(c, row0, column0, shared_address(shared));
  copier.begin();
  Sums<S::kColumns> sums;
  sums.clear();
  for (int step = 0; step < copier.steps(); ++step) {
    wait_for_copies<S::kStages - 2>();
    publish_to_tensor_cores();
    __syncthreads();  // this step's tiles are there, and those of the step before have been used
    Terms terms;
    terms.load(copier.pixels(step), 16 * warp + lane % 16);
    terms.hold();
    sums.hold();
    wgmma_begin();
    const std::uint32_t w_tile = copier.weights(step);
#pragma unroll
    for (int k = 0; k < 2; ++k) {
      sums.add(terms.low[k], w_tile + 32 * k);
      sums.add(terms.high[k], w_tile + kRowBytes / 2 + 32 * k);
      sums.add(terms.high[k], w_tile + 32 * k);
    }
    wgmma_commit();
    copier.copy_ahead_of(step);
    wgmma_wait<0>();
    terms.hold();
    sums.hold();
  }
  wait_for_copies<0>();
  __syncthreads();  // the tiles have been used: their memory takes the results
  float* results = reinterpret_cast<float*>(shared);
  sums.template store<S::kPitch>(results + (16 * warp + lane / 4) * S::kPitch + lane % 4 * 2);
  __syncthreads();
  finish<float, S>(c, results, row0, column0);
#endif
}

template <class S>
void run_tile(Context& context, const Convolution<float, bf16_t>& c) {
  launch(context, "convolve", group_tile_kernel<S>,
         dim3(blocks_for(c.rows, S::kRows), blocks_for(c.out, S::kColumns)), S::kThreads, S::kShared, c);
}

}  // namespace

// The tile with the least work for the busiest multiprocessor. Small tiles read more for each result.
void run_on_tiles_sm90(Context& context, const Convolution<float, bf16_t>& c) {
  struct Choice {
    int rows, columns;
    double cost;  // of a result
    void (*run)(Context&, const Convolution<float, bf16_t>&);
  };
  static constexpr Choice kChoices[] = {
      {128, 128, 1.0, run_tile<GroupTile<2, 128, 3>>}, {128, 96, 1.05, run_tile<GroupTile<2, 96, 3>>},
      {128, 64, 1.15, run_tile<GroupTile<2, 64, 4>>},  {64, 64, 1.3, run_tile<GroupTile<1, 64, 4>>},
      {128, 32, 1.6, run_tile<GroupTile<2, 32, 4>>},   {64, 32, 1.8, run_tile<GroupTile<1, 32, 6>>}};
  const Choice* best = nullptr;
  double least = std::numeric_limits<double>::infinity();
  for (const Choice& choice : kChoices) {
    const std::int64_t tiles =
        std::int64_t{blocks_for(c.rows, choice.rows)} * blocks_for(c.out, choice.columns);
    const double turns = static_cast<double>(blocks_for(tiles, context.processors));
    const double cost = turns * choice.rows * choice.columns * choice.cost;
    if (cost >= least) continue;
    least = cost;
    best = &choice;
  }
  best->run(context, c);
}

}  // namespace glmocr::cuda
