// SPDX-License-Identifier: Apache-2.0
#include "kernels/cuda/attention.cuh"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/wgmma.cuh"

// Attention over segments on Hopper, as in FlashAttention-3 (Shah et al. 2024): one warpgroup reads keys and
// values into a ring of stages, three others multiply; while one computes exponentials, the tensor cores work for
// another.
namespace glmocr::cuda {
namespace {

constexpr int kDim = 64, kKeys = 64, kStages = 4, kLag = 2;  // kLag: copies of so many blocks are under way
constexpr int kConsumers = 3, kThreads = 128 * (1 + kConsumers);
constexpr int kChunks = kDim / 8;
constexpr int kTileBytes = 64 * kDim * 2;
// Queries, then the stages: keys, values.
constexpr std::size_t kShared = 1024 + (kConsumers + 2 * kStages) * kTileBytes;
constexpr float kLog2E = 1.44269504088896340736f;
static_assert(kConsumers * 64 == kSegmentTileSm90);

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)

struct Barriers {
  std::uint32_t full[kStages], empty[kStages];
};

// Reads blocks of keys and values, 128 threads together.
__device__ __forceinline__ void produce(const SegmentAttention<bf16_t>& a, const bf16_t* k, const bf16_t* v,
                                        int count, std::uint32_t stages, std::uint32_t full,
                                        std::uint32_t empty) {
  const int tid = threadIdx.x % 128, chunk = tid % kChunks, first = tid / kChunks;
  const int blocks = (count + kKeys - 1) / kKeys;
  const bool inside = 8 * chunk < a.dim;
  Ring<kStages> filled, published;
  const auto publish = [&] {
    publish_to_tensor_cores();
    arrive(full + 8 * published.stage);
    published.next();
  };
  for (int block = 0; block < blocks; ++block) {
    wait_for_phase(empty + 8 * filled.stage, filled.parity ^ 1);
    const std::uint32_t keys = stages + filled.stage * 2 * kTileBytes, values = keys + kTileBytes;
#pragma unroll
    for (int i = 0; i < 64 * kChunks / 128; ++i) {
      const int row = first + i * (128 / kChunks), key = block * kKeys + row;
      const bool valid = inside && key < count;
      copy_16(keys + swizzled<kChunks>(row, chunk), valid ? k + key * a.k_row + 8 * chunk : k, valid);
      copy_16(values + swizzled<kChunks>(row, chunk), valid ? v + key * a.v_row + 8 * chunk : v, valid);
    }
    commit_copies();
    filled.next();
    if (block < kLag) continue;
    wait_for_copies<kLag>();
    publish();
  }
  wait_for_copies<0>();
  for (int left = min(blocks, kLag); left > 0; --left) publish();
}

// The softmax of one block for rows g and g + 8: scores become weights; sums shrink where the maximum grows.
__device__ __forceinline__ void soften(float (&scores)[8][4], float (&sums)[8][4], float (&largest)[2],
                                       float (&total)[2], float scale) {
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    float most = largest[i];
#pragma unroll
    for (int j = 0; j < 8; ++j) most = fmaxf(most, fmaxf(scores[j][2 * i], scores[j][2 * i + 1]));
    most = fmaxf(most, __shfl_xor_sync(0xffffffffu, most, 1));
    most = fmaxf(most, __shfl_xor_sync(0xffffffffu, most, 2));
    const float base = most == -INFINITY ? 0 : most * scale;
    const float shrink = most == largest[i] ? 1 : exp2f((largest[i] - most) * scale);
    largest[i] = most;
    total[i] *= shrink;
#pragma unroll
    for (int j = 0; j < 8; ++j) {
      sums[j][2 * i] *= shrink;
      sums[j][2 * i + 1] *= shrink;
    }
#pragma unroll
    for (int j = 0; j < 8; ++j) {
      float &low = scores[j][2 * i], &high = scores[j][2 * i + 1];
      asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(low) : "f"(fmaf(low, scale, -base)));
      asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(high) : "f"(fmaf(high, scale, -base)));
      total[i] += low + high;
    }
  }
}

// Weights as the left operand: bf16 parts that add up to them.
__device__ __forceinline__ void split(float (&scores)[8][4], std::uint32_t (&weights)[kWeightParts][4][4]) {
#pragma unroll
  for (int k = 0; k < 4; ++k) {
#pragma unroll
    for (int part = 0; part < kWeightParts; ++part) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        float &low = scores[2 * k + i / 2][i % 2 * 2], &high = scores[2 * k + i / 2][i % 2 * 2 + 1];
        weights[part][k][i] = pack_bf16(low, high);
        if (part + 1 == kWeightParts) continue;
        low -= __uint_as_float(weights[part][k][i] << 16);
        high -= __uint_as_float(weights[part][k][i] & 0xFFFF0000u);
      }
    }
  }
}

// One warpgroup: 64 queries, of which `rows` exist, against all keys.
__device__ __forceinline__ void consume(const SegmentAttention<bf16_t>& a, const bf16_t* q_rows, bf16_t* y,
                                        int rows, int count, std::uint32_t q_tile, std::uint32_t stages,
                                        std::uint32_t full, std::uint32_t empty) {
  const int tid = threadIdx.x % 128, lane = tid % 32, warp = tid / 32, g = lane / 4, t = lane % 4;
  for (int i = tid; i < 64 * kChunks; i += 128) {
    const int row = i / kChunks, chunk = i % kChunks;
    const bool valid = row < rows && 8 * chunk < a.dim;
    copy_16(q_tile + swizzled<kChunks>(row, chunk), valid ? q_rows + row * a.q_row + 8 * chunk : q_rows,
            valid);
  }
  commit_copies();
  wait_for_copies<0>();
  __syncwarp();
  asm volatile("bar.sync %0, 128;" ::"r"(threadIdx.x / 128) : "memory");  // this warpgroup alone
  std::uint32_t q[kDim / 16][4];
#pragma unroll
  for (int k = 0; k < kDim / 16; ++k) {
    load_matrices(q[k], q_tile + swizzled<kChunks>(16 * warp + lane % 16, 2 * k + lane / 16));
  }

  float largest[2] = {-INFINITY, -INFINITY}, total[2] = {}, sums[8][4] = {}, scores[8][4] = {};
  std::uint32_t weights[kWeightParts][4][4];
  const float scale = a.scale * kLog2E;
  const int blocks = (count + kKeys - 1) / kKeys;
  Ring<kStages> ring;
  for (int block = 0; block < blocks; ++block) {
    wait_for_phase(full + 8 * ring.stage, ring.parity);
    const std::uint32_t keys = stages + ring.stage * 2 * kTileBytes;
    wgmma_begin();
#pragma unroll
    for (int k = 0; k < kDim / 16; ++k) wgmma<false>(scores, q[k], tile_descriptor(keys + 32 * k), k > 0);
    wgmma_commit();
    wgmma_wait<0>();
    if (block + 1 == blocks) {
#pragma unroll
      for (int j = 0; j < 8; ++j) {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          if (block * kKeys + 8 * j + 2 * t + i % 2 >= count) scores[j][i] = -INFINITY;
        }
      }
    }
    soften(scores, sums, largest, total, scale);
    split(scores, weights);
    const std::uint32_t values = keys + kTileBytes;
    wgmma_begin();
#pragma unroll
    for (int k = 0; k < kKeys / 16; ++k) {
#pragma unroll
      for (int part = 0; part < kWeightParts; ++part) {
        wgmma<true>(sums, weights[part][k], tile_descriptor(values + 2048 * k), true);
      }
    }
    wgmma_commit();
    wgmma_wait<0>();
    if (tid == 0) arrive(empty + 8 * ring.stage);
    ring.next();
  }

#pragma unroll
  for (int i = 0; i < 2; ++i) {
    total[i] += __shfl_xor_sync(0xffffffffu, total[i], 1);
    total[i] += __shfl_xor_sync(0xffffffffu, total[i], 2);
    const int row = 16 * warp + g + 8 * i;
    if (row >= rows) continue;
    const float scaled = 1 / total[i];
#pragma unroll
    for (int j = 0; j < 8; ++j) {
      const int column = 8 * j + 2 * t;
      if (column >= a.dim) continue;  // dim is a multiple of 8
      y[row * a.y_row + column] = from_float<bf16_t>(sums[j][2 * i] * scaled);
      y[row * a.y_row + column + 1] = from_float<bf16_t>(sums[j][2 * i + 1] * scaled);
    }
  }
}

#endif

// Bound by the tensor cores: with weights in two parts they do half again the products of the definition.
__global__ void __launch_bounds__(kThreads, 1)
    attention_sm90_kernel([[maybe_unused]] const SegmentAttention<bf16_t> a,
                          [[maybe_unused]] const std::int32_t* tiles) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  extern __shared__ __align__(1024) std::byte shared[];
  __shared__ __align__(8) std::uint64_t barriers[2 * kStages];
  let_next_start();
  const std::uint32_t full = shared_address(barriers), empty = full + 8 * kStages;
  const std::uint32_t q_tiles = (shared_address(shared) + 1023) & ~1023u,
                      stages = q_tiles + kConsumers * kTileBytes;
  if (threadIdx.x == 0) {
    for (int i = 0; i < kStages; ++i) {
      init_barrier(full + 8 * i, 128);
      init_barrier(empty + 8 * i, kConsumers);
    }
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
  }
  __syncthreads();
  wait_for_previous();
  const int head = blockIdx.y, segment = tiles[2 * blockIdx.x], first = tiles[2 * blockIdx.x + 1];
  const std::int64_t begin = a.starts[segment];
  const int count = a.starts[segment + 1] - static_cast<int>(begin), group = threadIdx.x / 128;
  if (group == 0) {
    shrink_registers<32>();
    produce(a, a.k + begin * a.k_row + head * a.k_head, a.v + begin * a.v_row + head * a.v_head, count,
            stages, full, empty);
  } else {
    grow_registers<160>();
    const std::int64_t row = begin + first + 64 * (group - 1);
    const int rows = min(64, count - first - 64 * (group - 1));
    consume(a, rows > 0 ? a.q + row * a.q_row + head * a.q_head : a.q, a.y + row * a.y_row + head * a.dim,
            rows, count, q_tiles + (group - 1) * kTileBytes, stages, full, empty);
  }
#endif
}

}  // namespace

void run_segments_sm90(Context& context, const SegmentAttention<bf16_t>& a, const std::int32_t* tiles,
                       int count) {
  launch(context, "attention", attention_sm90_kernel, dim3(count, a.heads), kThreads, kShared, a, tiles);
}

}  // namespace glmocr::cuda
