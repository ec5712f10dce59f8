// SPDX-License-Identifier: Apache-2.0
#include "kernels/cuda/attention_tiles.cuh"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/wgmma.cuh"

// Attention on Hopper, as in FlashAttention-3 (Shah et al. 2024): one warpgroup reads keys and values into a ring
// of stages, others multiply; while one of them computes exponentials, the tensor cores work for another. Blocks of
// keys begin at multiples of kKeys, so what a row sums depends on the row alone.
namespace glmocr::cuda {
namespace {

constexpr int kKeys = 64, kStages = 4, kLag = 2;  // kLag: copies of so many blocks are under way
constexpr int kTileBytes = 64 * 128;              // [64, 64] bf16; a wider matrix is several of them
constexpr float kLog2E = 1.44269504088896340736f;

// kDim: head_dim, rounded up. Registers limit the warpgroups that multiply.
template <int kHeadDim>
struct Shape90 {
  static constexpr int kDim = kHeadDim, kParts = kDim / 64, kChunks = kDim / 8;
  static constexpr int kConsumers = kDim == 64 ? 3 : 2, kRows = 64 * kConsumers,
                       kThreads = 128 * (1 + kConsumers);
  static constexpr int kProducerRegisters = kDim == 64 ? 32 : 40, kConsumerRegisters = kDim == 64 ? 160 : 232;
  static constexpr int kMatrixBytes = kParts * kTileBytes;  // 64 rows
  // Queries, then the stages: keys, values.
  static constexpr std::size_t kShared = 1024 + (kConsumers + 2 * kStages) * kMatrixBytes;
};
static_assert(Shape90<64>::kRows == kSegmentTileSm90);

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)

// Where everything is in shared memory.
struct Shared90 {
  std::uint32_t queries, stages, full, empty;
  volatile int* spoilt;  // [kStages] the block, plus one, whose values were not all finite
};

__device__ __forceinline__ std::uint32_t place(int row, int chunk) {
  return chunk / 8 * kTileBytes + swizzled<8>(row, chunk % 8);
}

// The rest of the work on a stage that this thread has filled: values that are not finite are taken out where some
// row does not see them, and the consumers are told.
template <class S, class Source>
__device__ __forceinline__ void publish(const Tile& tile, const Shared90& shared, const std::byte* memory,
                                        int block, int stage) {
  if constexpr (Source::kPaged) {
    if ((block + 1) * kKeys > tile.first_sees) {
      bool found = false;
      std::byte* values = const_cast<std::byte*>(memory) + (shared.stages - shared.queries) +
                          (2 * stage + 1) * S::kMatrixBytes;
      for (int i = threadIdx.x % 128; i < kKeys * S::kChunks; i += 128) {
        auto* words = reinterpret_cast<std::uint32_t*>(values + place(i / S::kChunks, i % S::kChunks));
#pragma unroll
        for (int w = 0; w < 4; ++w) {
          std::uint32_t word = words[w];
          if (!take_out_not_finite(word)) continue;
          found = true;
          words[w] = word;
        }
      }
      if (found) shared.spoilt[stage] = block + 1;
    }
  }
  publish_to_tensor_cores();
  arrive(shared.full + 8 * stage);
}

// Reads blocks of keys and values, 128 threads together.
template <class S, class Source>
__device__ __forceinline__ void produce(const Source& source, const Tile& tile, const Shared90& shared,
                                        const std::byte* memory) {
  const int blocks = (tile.keys + kKeys - 1) / kKeys;
  Ring<kStages> filled, published;
  for (int block = 0; block < blocks + kLag; ++block) {
    if (block < blocks) {
      wait_for_phase(shared.empty + 8 * filled.stage, filled.parity ^ 1);
      const std::uint32_t keys = shared.stages + filled.stage * 2 * S::kMatrixBytes;
#pragma unroll 4
      for (int i = threadIdx.x % 128; i < kKeys * S::kChunks; i += 128) {
        const int row = i / S::kChunks, chunk = i % S::kChunks, token = block * kKeys + row;
        const bool valid = token < tile.keys && 8 * chunk < source.a.dim;
        const bf16_t* key = valid ? source.key(tile, token) + 8 * chunk : source.a.q;
        const bf16_t* value = valid ? source.value(tile, token) + 8 * chunk : source.a.q;
        copy_16(keys + place(row, chunk), key, valid);
        copy_16(keys + S::kMatrixBytes + place(row, chunk), value, valid);
      }
      filled.next();
    }
    commit_copies();
    if (block < kLag) continue;
    wait_for_copies<kLag>();
    publish<S, Source>(tile, shared, memory, block - kLag, published.stage);
    published.next();
  }
}

// The softmax of one block for rows g and g + 8: scores become weights; sums shrink where the maximum grows.
template <int kParts>
__device__ __forceinline__ void soften(float (&scores)[8][4], float (&sums)[kParts][8][4],
                                       float (&largest)[2], float (&total)[2], float scale) {
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    float most = largest[i];
#pragma unroll
    for (int j = 0; j < 8; ++j) most = fmaxf(most, fmaxf(scores[j][2 * i], scores[j][2 * i + 1]));
    most = fmaxf(most, __shfl_xor_sync(0xffffffffu, most, 1));
    most = fmaxf(most, __shfl_xor_sync(0xffffffffu, most, 2));
    const float base = most == -INFINITY ? 0 : most * scale;
    // Exactly 1 where the block changes nothing, as for a row that sees none of its keys.
    const float shrink = most == largest[i] ? 1 : exp2f((largest[i] - most) * scale);
    largest[i] = most;
    total[i] *= shrink;
#pragma unroll
    for (int part = 0; part < kParts; ++part) {
#pragma unroll
      for (int j = 0; j < 8; ++j) {
        sums[part][j][2 * i] *= shrink;
        sums[part][j][2 * i + 1] *= shrink;
      }
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

// One warpgroup: the 64 queries from row `first` of the tile on, against all its keys.
template <class S, class Source>
__device__ __forceinline__ void consume(const Source& source, const Tile& tile, int first,
                                        std::uint32_t q_tile, const Shared90& shared) {
  const auto& a = source.a;
  const int tid = threadIdx.x % 128, lane = tid % 32, warp = tid / 32, g = lane / 4, t = lane % 4;
  for (int i = tid; i < 64 * S::kChunks; i += 128) {
    const int row = i / S::kChunks, chunk = i % S::kChunks;
    const bool valid = first + row < tile.rows && 8 * chunk < a.dim;
    copy_16(q_tile + place(row, chunk), valid ? source.query(tile, first + row) + 8 * chunk : a.q, valid);
  }
  commit_copies();
  wait_for_copies<0>();
  asm volatile("bar.sync %0, 128;" ::"r"(static_cast<int>(threadIdx.x / 128))
               : "memory");  // this warpgroup alone
  std::uint32_t q[S::kDim / 16][4];
#pragma unroll
  for (int k = 0; k < S::kDim / 16; ++k) {
    load_matrices(q[k], q_tile + place(16 * warp + lane % 16, 2 * k + lane / 16));
  }

  pin(q);

  float largest[2] = {-INFINITY, -INFINITY}, total[2] = {}, sums[S::kParts][8][4] = {}, scores[8][4] = {};
  std::uint32_t weights[kWeightParts][4][4];
  const float scale = a.scale * kLog2E;
  const int row_in_tile = first + 16 * warp + g, blocks = (tile.keys + kKeys - 1) / kKeys;
  int sees[2] = {tile.keys, tile.keys};
  if constexpr (Source::kPaged) {
    sees[0] = min(tile.first_sees + row_in_tile, tile.keys);
    sees[1] = min(tile.first_sees + row_in_tile + 8, tile.keys);
  }
  Ring<kStages> ring;
  for (int block = 0; block < blocks; ++block) {
    wait_for_phase(shared.full + 8 * ring.stage, ring.parity);
    const std::uint32_t keys = shared.stages + ring.stage * 2 * S::kMatrixBytes;
    pin(scores);
    wgmma_begin();
#pragma unroll
    for (int k = 0; k < S::kDim / 16; ++k) {
      wgmma<false>(scores, q[k], tile_descriptor(keys + k / 4 * kTileBytes + 32 * (k % 4)), k > 0);
    }
    wgmma_commit();
    wgmma_wait<0>();
    pin(scores);
    if ((block + 1) * kKeys > tile.first_sees) {
#pragma unroll
      for (int j = 0; j < 8; ++j) {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          if (block * kKeys + 8 * j + 2 * t + i % 2 >= sees[i / 2]) scores[j][i] = -INFINITY;
        }
      }
    }
    soften(scores, sums, largest, total, scale);
    split(scores, weights);
    const std::uint32_t values = keys + S::kMatrixBytes;
#pragma unroll
    for (int part = 0; part < kWeightParts; ++part) pin(weights[part]);
#pragma unroll
    for (int d = 0; d < S::kParts; ++d) pin(sums[d]);
    wgmma_begin();
#pragma unroll
    for (int k = 0; k < kKeys / 16; ++k) {
#pragma unroll
      for (int part = 0; part < kWeightParts; ++part) {
#pragma unroll
        for (int d = 0; d < S::kParts; ++d) {
          wgmma<true>(sums[d], weights[part][k], tile_descriptor(values + d * kTileBytes + 2048 * k), true);
        }
      }
    }
    wgmma_commit();
    wgmma_wait<0>();
#pragma unroll
    for (int d = 0; d < S::kParts; ++d) pin(sums[d]);
    if constexpr (Source::kPaged) {
      if (shared.spoilt[ring.stage] == block + 1) {
#pragma unroll
        for (int d = 0; d < S::kParts; ++d) {
          put_back_not_finite(sums[d], source, tile, block * kKeys, (block + 1) * kKeys, sees, 64 * d);
        }
      }
    }
    if (tid == 0) arrive(shared.empty + 8 * ring.stage);
    ring.next();
  }

#pragma unroll
  for (int i = 0; i < 2; ++i) {
    total[i] += __shfl_xor_sync(0xffffffffu, total[i], 1);
    total[i] += __shfl_xor_sync(0xffffffffu, total[i], 2);
    const int row = row_in_tile + 8 * i;
    if (row >= tile.rows) continue;
    bf16_t* to = source.result(tile, row);
    const float scaled = 1 / total[i];
#pragma unroll
    for (int d = 0; d < S::kParts; ++d) {
#pragma unroll
      for (int j = 0; j < 8; ++j) {
        const int column = 64 * d + 8 * j + 2 * t;
        if (column >= a.dim) continue;  // dim is a multiple of 8
        to[column] = from_float<bf16_t>(sums[d][j][2 * i] * scaled);
        to[column + 1] = from_float<bf16_t>(sums[d][j][2 * i + 1] * scaled);
      }
    }
  }
}

#endif

// Bound by the tensor cores: with weights in two parts they do half again the products of the definition.
template <class S, class Source>
__global__ void __launch_bounds__(S::kThreads, 1)
    attention_sm90_kernel([[maybe_unused]] const Source source) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  extern __shared__ __align__(1024) std::byte memory[];
  __shared__ __align__(8) std::uint64_t barriers[2 * kStages];
  __shared__ int spoilt[kStages];
  let_next_start();
  const std::uint32_t begin = (shared_address(memory) + 1023) & ~1023u;
  const Shared90 shared{begin, begin + S::kConsumers * S::kMatrixBytes, shared_address(barriers),
                        shared_address(barriers) + 8 * kStages, spoilt};
  if (threadIdx.x == 0) {
    for (int i = 0; i < kStages; ++i) {
      init_barrier(shared.full + 8 * i, 128);
      init_barrier(shared.empty + 8 * i, S::kConsumers);
      spoilt[i] = 0;
    }
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
  }
  __syncthreads();
  wait_for_previous();
  Tile tile;
  if (!source.find(blockIdx.x, S::kRows, blockIdx.y, tile)) return;
  if (tile.keys == 0) return clear_padding(source, tile);
  const int group = threadIdx.x / 128;
  if (group == 0) {
    shrink_registers<S::kProducerRegisters>();
    produce<S>(source, tile, shared, memory + (begin - shared_address(memory)));
  } else {
    grow_registers<S::kConsumerRegisters>();
    consume<S>(source, tile, 64 * (group - 1), begin + (group - 1) * S::kMatrixBytes, shared);
  }
#endif
}

template <int kDim, class Source>
void run(Context& context, const char* name, const Source& source, int tiles) {
  using S = Shape90<kDim>;
  launch(context, name, attention_sm90_kernel<S, Source>, dim3(tiles, source.a.heads), S::kThreads,
         S::kShared, source);
}

}  // namespace

void run_segments_sm90(Context& context, const SegmentAttention<bf16_t>& a, const std::int32_t* tiles,
                       int count) {
  run<64>(context, "attention", SegmentTiles{a, tiles}, count);
}

void run_many_rows_sm90(Context& context, const PagedAttention<bf16_t>& a) {
  const auto most_tiles = [&](int rows) {
    return static_cast<int>(blocks_for(a.rows, rows)) + a.sequences + 1;
  };
  if (a.dim <= 64) return run<64>(context, "attention_paged", PagedTiles{a}, most_tiles(Shape90<64>::kRows));
  run<128>(context, "attention_paged", PagedTiles{a}, most_tiles(Shape90<128>::kRows));
}

}  // namespace glmocr::cuda
