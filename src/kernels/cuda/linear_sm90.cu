// SPDX-License-Identifier: Apache-2.0
#include "kernels/cuda/launch.h"
#include "kernels/cuda/linear.cuh"
#include "kernels/cuda/wgmma.cuh"

// Products with many rows on Hopper.
namespace glmocr::cuda {
namespace {

constexpr int kTileRows = 128, kDepth = 64, kStages = 4;
constexpr int kConsumers = 2, kThreads = 128 * (1 + kConsumers);
constexpr int kRowBytes = kDepth * 2;

template <int kColumns>
constexpr int kStageBytes = (kTileRows + kColumns) * kRowBytes;

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)

// One thread starts the copies of all steps, as far ahead as there are stages.
template <int kColumns>
__device__ __forceinline__ void produce(const Bf16Product& p, const CUtensorMap& x_map,
                                        const CUtensorMap& w_map, int row0, int column0, std::uint32_t stages,
                                        std::uint32_t full, std::uint32_t empty) {
  const int steps = (p.in + kDepth - 1) / kDepth;
  Ring<kStages> ring;
  for (int step = 0; step < steps; ++step) {
    wait_for_phase(empty + 8 * ring.stage, ring.parity ^ 1);
    const std::uint32_t x_tile = stages + ring.stage * kStageBytes<kColumns>, barrier = full + 8 * ring.stage;
    arrive_and_expect(barrier, kStageBytes<kColumns>);
    copy_box(x_tile, x_map, step * kDepth, row0, barrier);
    copy_box(x_tile + kTileRows * kRowBytes, w_map, step * kDepth, column0, barrier);
    ring.next();
  }
}

// One warpgroup: 64 rows, all columns of the tile, 128 at a time.
template <int kColumns>
__device__ __forceinline__ void consume(const Bf16Product& p, int group, int row0, int column0,
                                        std::uint32_t stages, std::uint32_t full, std::uint32_t empty) {
  constexpr int kParts = kColumns / 128;
  const int tid = threadIdx.x % 128, lane = tid % 32;
  const int steps = (p.in + kDepth - 1) / kDepth;
  float sums[kParts][16][4] = {};
#pragma unroll
  for (int part = 0; part < kParts; ++part) pin(sums[part]);
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
#pragma unroll
  for (int part = 0; part < kParts; ++part) {
    pin(sums[part]);
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int row = row0 + 64 * group + tid / 32 * 16 + lane / 4 + 8 * half;
#pragma unroll
      for (int j = 0; j < 16; j += 8) {
        p.finish_pairs<8>(&sums[part][j], half, row, column0 + 128 * part + 8 * j + lane % 4 * 2);
      }
    }
  }
}

#endif

// Bound by the tensor cores, or for kColumns = 128 by reading tiles from the L2 cache. One thread has steps of 64
// terms copied into a ring of stages, two warpgroups multiply. Every result is summed by the same instructions for both widths.
template <int kColumns>
__global__ void __launch_bounds__(kThreads, 1)
    many_rows_sm90_kernel([[maybe_unused]] const Bf16Product p,
                          [[maybe_unused]] const __grid_constant__ CUtensorMap x_map,
                          [[maybe_unused]] const __grid_constant__ CUtensorMap w_map) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  extern __shared__ __align__(1024) std::byte shared[];
  __shared__ __align__(8) std::uint64_t barriers[2 * kStages];
  let_next_start();
  const std::uint32_t full = shared_address(barriers), empty = full + 8 * kStages;
  const std::uint32_t stages = (shared_address(shared) + 1023) & ~1023u;
  if (threadIdx.x == 0) {
    for (int i = 0; i < kStages; ++i) {
      init_barrier(full + 8 * i, 1);
      init_barrier(empty + 8 * i, kConsumers);
    }
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
  }
  __syncthreads();
  wait_for_previous();
  const int row0 = blockIdx.y * kTileRows, column0 = blockIdx.x * kColumns, group = threadIdx.x / 128;
  if (group == 0) {
    shrink_registers<40>();
    if (threadIdx.x == 0) produce<kColumns>(p, x_map, w_map, row0, column0, stages, full, empty);
  } else {
    grow_registers<232>();
    consume<kColumns>(p, group - 1, row0, column0, stages, full, empty);
  }
#endif
}

// A matrix of bf16 rows for copy_box, in boxes of kDepth columns, swizzled as wgmma reads them.
CUtensorMap map_of(const Context& context, const bf16_t* matrix, std::int64_t stride, int rows, int columns,
                   unsigned box_rows) {
  static const auto encode = [] {
    void* function = nullptr;
    cudaDriverEntryPointQueryResult found{};
    const cudaError_t status = cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &function, 12000,
                                                                cudaEnableDefault, &found);
    GLMOCR_CHECK(status == cudaSuccess && found == cudaDriverEntryPointSuccess);
    return reinterpret_cast<decltype(&cuTensorMapEncodeTiled)>(function);
  }();
  CUtensorMap map{};
  const cuuint64_t sizes[] = {static_cast<cuuint64_t>(columns), static_cast<cuuint64_t>(rows)};
  const cuuint64_t strides[] = {static_cast<cuuint64_t>(stride) * 2};
  const cuuint32_t box[] = {kDepth, box_rows}, steps[] = {1, 1};
  const CUresult status =
      encode(&map, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, 2, const_cast<bf16_t*>(matrix), sizes, strides, box,
             steps, CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
             CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  if (status != CUDA_SUCCESS) {
    fail(ErrorCode::device, cat(context.device, ": linear: no tensor map for [", rows, ", ", columns,
                                "], error ", static_cast<int>(status)));
  }
  return map;
}

template <int kColumns>
void run(Context& context, const Bf16Product& p) {
  const dim3 grid(blocks_for(p.out, kColumns), blocks_for(p.rows, kTileRows));
  launch(context, "linear", many_rows_sm90_kernel<kColumns>, grid, kThreads,
         1024 + kStages * kStageBytes<kColumns>, p, map_of(context, p.x, p.x_stride, p.rows, p.in, kTileRows),
         map_of(context, p.w, p.in, p.out, p.in, kColumns));
}

}  // namespace

void run_many_rows_sm90(Context& context, const Bf16Product& p) {
  const std::int64_t wide_tiles = std::int64_t{blocks_for(p.out, 256)} * blocks_for(p.rows, kTileRows);
  wide_tiles >= 2 * context.processors ? run<256>(context, p) : run<128>(context, p);
}

}  // namespace glmocr::cuda
