// SPDX-License-Identifier: Apache-2.0
#include "kernels/cuda/launch.h"
#include "kernels/cuda/linear.cuh"
#include "kernels/cuda/wgmma.cuh"

// Products with many rows on Hopper.
namespace glmocr::cuda {
namespace {

constexpr int kTileRows = 128, kDepth = 64, kStages = 4,
              kLag = 2;  // kLag: copies of so many steps are under way
constexpr int kConsumers = 2, kThreads = 128 * (1 + kConsumers);
constexpr int kChunks = kDepth / 8;
constexpr int kRowBytes = kDepth * 2;

template <int kColumns>
constexpr int kStageBytes = (kTileRows + kColumns) * kRowBytes;

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)

// This thread's part of copying kRows rows of a matrix: a chunk of every 16th row.
template <int kRows>
struct RowCopies {
  const bf16_t* first;  // of this thread's first row
  std::int64_t step;    // to its next row
  std::uint32_t valid;  // bit i: its row i exists

  __device__ __forceinline__ RowCopies(const bf16_t* matrix, std::int64_t stride, int row0, int rows) {
    const int row = row0 + threadIdx.x % 128 / kChunks, chunk = threadIdx.x % kChunks;
    first = matrix + row * stride + 8 * chunk;
    step = 16 * stride;
    valid = 0;
    for (int i = 0; i < kRows / 16; ++i) valid |= (row + 16 * i < rows ? 1u : 0u) << i;
  }
  __device__ __forceinline__ void copy(std::uint32_t shared, int k0, int in, const bf16_t* anywhere) const {
    const int row = threadIdx.x % 128 / kChunks, chunk = threadIdx.x % kChunks;
    const bool inside = k0 + 8 * chunk < in;
#pragma unroll
    for (int i = 0; i < kRows / 16; ++i) {
      const bool copied = inside && (valid >> i & 1);
      copy_16(shared + swizzled<kChunks>(row + 16 * i, chunk), copied ? first + i * step + k0 : anywhere,
              copied);
    }
  }
};

template <int kColumns>
__device__ __forceinline__ void produce(const Bf16Product& p, int row0, int column0, std::uint32_t stages,
                                        std::uint32_t full, std::uint32_t empty) {
  const RowCopies<kTileRows> x(p.x, p.x_stride, row0, p.rows);
  const RowCopies<kColumns> w(p.w, p.in, column0, p.out);
  const int steps = (p.in + kDepth - 1) / kDepth;
  Ring<kStages> filled, published;
  const auto publish = [&] {
    publish_to_tensor_cores();
    arrive(full + 8 * published.stage);
    published.next();
  };
  for (int step = 0; step < steps; ++step) {
    wait_for_phase(empty + 8 * filled.stage, filled.parity ^ 1);
    const std::uint32_t x_tile = stages + filled.stage * kStageBytes<kColumns>;
    x.copy(x_tile, step * kDepth, p.in, p.x);
    w.copy(x_tile + kTileRows * kRowBytes, step * kDepth, p.in, p.w);
    commit_copies();
    filled.next();
    if (step < kLag) continue;
    wait_for_copies<kLag>();
    publish();
  }
  wait_for_copies<0>();
  for (int left = min(steps, kLag); left > 0; --left) publish();
}

// One warpgroup: 64 rows, all columns of the tile, 128 at a time.
template <int kColumns>
__device__ __forceinline__ void consume(const Bf16Product& p, int group, int row0, int column0,
                                        std::uint32_t stages, std::uint32_t full, std::uint32_t empty) {
  constexpr int kParts = kColumns / 128;
  const int tid = threadIdx.x % 128, lane = tid % 32;
  const int steps = (p.in + kDepth - 1) / kDepth;
  float sums[kParts][16][4] = {};
  Ring<kStages> ring, used;
  for (int step = 0; step < steps; ++step) {
    wait_for_phase(full + 8 * ring.stage, ring.parity);
    const std::uint32_t x_tile = stages + ring.stage * kStageBytes<kColumns>,
                        w_tile = x_tile + kTileRows * kRowBytes;
    wgmma_begin();
#pragma unroll
    for (int k = 0; k < kDepth / 16; ++k) {
#pragma unroll
      for (int part = 0; part < kParts; ++part) {
        wgmma_128(sums[part], tile_descriptor(x_tile + group * 64 * kRowBytes + 32 * k),
                  tile_descriptor(w_tile + part * 128 * kRowBytes + 32 * k));
      }
    }
    wgmma_commit();
    ring.next();
    if (step == 0) continue;
    wgmma_wait<1>();  // the products of the step before
    if (tid == 0) arrive(empty + 8 * used.stage);
    used.next();
  }
  wgmma_wait<0>();

  const bool pairs = p.y_stride % 2 == 0 && reinterpret_cast<std::uintptr_t>(p.y) % 4 == 0;
#pragma unroll
  for (int part = 0; part < kParts; ++part) {
#pragma unroll
    for (int j = 0; j < 16; ++j) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int row = row0 + 64 * group + tid / 32 * 16 + lane / 4 + 8 * half;
        const int column = column0 + 128 * part + 8 * j + lane % 4 * 2;
        const float low = sums[part][j][2 * half], high = sums[part][j][2 * half + 1];
        if (row >= p.rows || column >= p.out) continue;
        if (pairs && column + 1 < p.out) {
          const std::uint32_t pair =
              pack_bf16(p.finished(low, row, column), p.finished(high, row, column + 1));
          *reinterpret_cast<std::uint32_t*>(p.y + row * p.y_stride + column) = pair;
        } else {
          p.finish(low, row, column);
          if (column + 1 < p.out) p.finish(high, row, column + 1);
        }
      }
    }
  }
}

#endif

// Bound by the tensor cores, or for kColumns = 128 by reading tiles from the L2 cache. One warpgroup reads steps of
// 64 terms into a ring of stages, two multiply. Every result is summed by the same instructions for both widths.
template <int kColumns>
__global__ void __launch_bounds__(kThreads, 1) many_rows_sm90_kernel([[maybe_unused]] const Bf16Product p) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  extern __shared__ __align__(1024) std::byte shared[];
  __shared__ __align__(8) std::uint64_t barriers[2 * kStages];
  let_next_start();
  const std::uint32_t full = shared_address(barriers), empty = full + 8 * kStages;
  const std::uint32_t stages = (shared_address(shared) + 1023) & ~1023u;
  if (threadIdx.x == 0) {
    for (int i = 0; i < kStages; ++i) {
      init_barrier(full + 8 * i, 128);
      init_barrier(empty + 8 * i, kConsumers);
    }
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
  }
  __syncthreads();
  wait_for_previous();
  const int row0 = blockIdx.y * kTileRows, column0 = blockIdx.x * kColumns, group = threadIdx.x / 128;
  if (group == 0) {
    shrink_registers<56>();
    produce<kColumns>(p, row0, column0, stages, full, empty);
  } else {
    grow_registers<224>();
    consume<kColumns>(p, group - 1, row0, column0, stages, full, empty);
  }
#endif
}

template <int kColumns>
void run(Context& context, const Bf16Product& p) {
  const dim3 grid(blocks_for(p.out, kColumns), blocks_for(p.rows, kTileRows));
  launch(context, "linear", many_rows_sm90_kernel<kColumns>, grid, kThreads,
         1024 + kStages * kStageBytes<kColumns>, p);
}

}  // namespace

void run_many_rows_sm90(Context& context, const Bf16Product& p) {
  const std::int64_t wide_tiles = std::int64_t{blocks_for(p.out, 256)} * blocks_for(p.rows, kTileRows);
  wide_tiles >= 2 * context.processors ? run<256>(context, p) : run<128>(context, p);
}

}  // namespace glmocr::cuda
