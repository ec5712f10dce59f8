// SPDX-License-Identifier: Apache-2.0
#include "kernels/cuda/launch.h"
#include "kernels/cuda/linear.cuh"
#include "kernels/cuda/mma.cuh"

namespace glmocr::cuda {
namespace {

constexpr int kTileRows = 128, kTileColumns = 128, kDepth = 64, kStages = 3;
constexpr int kChunks = kDepth / 8;  // of 16 bytes, in a row of a tile
constexpr int kThreads = 256;        // 2 × 4 warps, each with 64 × 32 results
constexpr int kTileBytes = kTileRows * kDepth * 2;
constexpr std::size_t kSharedBytes = std::size_t{kStages} * 2 * kTileBytes;
static_assert(kTileRows == kTileColumns);

// Starts the copy of rows [row0, row0 + 128) and terms [k0, k0 + 64) of a matrix; zeros outside of it.
__device__ __forceinline__ void copy_tile(std::uint32_t shared, const bf16_t* matrix, std::int64_t stride,
                                          int row0, int rows, int k0, int in) {
#pragma unroll
  for (int i = 0; i < kTileRows * kChunks / kThreads; ++i) {
    const int index = threadIdx.x + i * kThreads, row = index / kChunks, chunk = index % kChunks;
    const int k = k0 + 8 * chunk;
    const bool inside = row0 + row < rows && k < in;
    copy_16(shared + swizzled<kChunks>(row, chunk), inside ? matrix + (row0 + row) * stride + k : matrix,
            inside);
  }
}

// Bound by the tensor cores: tiles of 128 × 128 results whose operands are read into shared memory three steps
// ahead. The terms are summed in steps of 16, in order.
template <bool kActivated>
__global__ void __launch_bounds__(kThreads, 2) many_rows_kernel(const Bf16Product p) {
  extern __shared__ __align__(128) std::byte shared[];
  let_next_start();
  wait_for_previous();
  const int row0 = blockIdx.x * kTileRows, column0 = blockIdx.y * kTileColumns;
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const int warp_row = warp / 4 * 64, warp_column = warp % 4 * 32;
  const int steps = (p.in + kDepth - 1) / kDepth;
  const std::uint32_t base = shared_address(shared);

  const auto copy_step = [&](int step) {
    if (step < steps) {
      const std::uint32_t stage = base + step % kStages * 2 * kTileBytes;
      copy_tile(stage, p.x, p.x_stride, row0, p.rows, step * kDepth, p.in);
      copy_tile(stage + kTileBytes, p.w, p.in, column0, p.out, step * kDepth, p.in);
    }
    commit_copies();
  };
  float sums[4][4][4] = {};
#pragma unroll
  for (int i = 0; i < kStages - 1; ++i) copy_step(i);
  for (int step = 0; step < steps; ++step) {
    wait_for_copies<kStages - 2>();
    __syncthreads();  // this step's tiles are there, and those of the step before have been used
    copy_step(step + kStages - 1);
    const std::uint32_t x_tile = base + step % kStages * 2 * kTileBytes, w_tile = x_tile + kTileBytes;
#pragma unroll
    for (int k = 0; k < kDepth / 16; ++k) {
      std::uint32_t a[4][4], b[2][4];
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        load_matrices(a[i], x_tile + swizzled<kChunks>(warp_row + 16 * i + lane % 16, 2 * k + lane / 16));
      }
#pragma unroll
      for (int j = 0; j < 2; ++j) {
        const int row = warp_column + 16 * j + lane / 16 * 8 + lane % 8;
        load_matrices(b[j], w_tile + swizzled<kChunks>(row, 2 * k + lane / 8 % 2));
      }
#pragma unroll
      for (int i = 0; i < 4; ++i) {
#pragma unroll
        for (int j = 0; j < 4; ++j) mma(sums[i][j], a[i], b[j / 2][j % 2 * 2], b[j / 2][j % 2 * 2 + 1]);
      }
    }
  }

#pragma unroll
  for (int i = 0; i < 4; ++i) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      p.finish_pairs<4, kActivated>(sums[i], half, row0 + warp_row + 16 * i + lane / 4 + 8 * half,
                                    column0 + warp_column + lane % 4 * 2);
    }
  }
}

}  // namespace

void run_many_rows(Context& context, const Bf16Product& p) {
  const dim3 grid(blocks_for(p.rows, kTileRows), blocks_for(p.out, kTileColumns));
  const auto kernel = p.activation == Activation::none ? many_rows_kernel<false> : many_rows_kernel<true>;
  launch(context, "linear", kernel, grid, kThreads, kSharedBytes, p);
}

}  // namespace glmocr::cuda
