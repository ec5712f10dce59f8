// SPDX-License-Identifier: Apache-2.0
#include "base/numbers.h"
#include "kernels/cuda/attention_tiles.cuh"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/tensor_map.h"
#include "kernels/cuda/wgmma.cuh"

// Attention on Hopper, as in FlashAttention-3 (Shah et al. 2024): one warpgroup reads keys and values into a ring
// of stages, others multiply. While a block's exponentials are computed, the tensor cores work for other warpgroups, and
// multiply the values of the block before. Blocks of keys begin at multiples of kKeys, so what a row sums depends on the
// row alone.
namespace glmocr::cuda {
namespace {

constexpr int kKeys = 64, kLag = 2;   // kLag: copies of so many blocks are under way
constexpr int kTileBytes = 64 * 128;  // [64, 64] bf16; a wider matrix is several of them
constexpr float kLog2E = 1.44269504088896340736f;

// kDim: head_dim, rounded up. Registers limit the warpgroups that multiply.
template <int kHeadDim, int kGroups = kHeadDim == 64 ? 3 : 2>
struct Shape90 {
  static constexpr int kDim = kHeadDim, kParts = kDim / 64, kChunks = kDim / 8;
  static constexpr int kConsumers = kGroups, kRows = 64 * kConsumers, kThreads = 128 * (1 + kConsumers);
  static constexpr int kStages = kDim == 64 ? 6 : 5;
  static constexpr int kProducerRegisters = kConsumers == 3 ? 32 : 40,
                       kConsumerRegisters = kConsumers == 3 ? 160 : 232;
  static constexpr int kMatrixBytes = kParts * kTileBytes;  // 64 rows
  // Queries, then the stages: keys, values.
  static constexpr std::size_t kShared = 1024 + (kConsumers + 2 * kStages) * kMatrixBytes;
};

// Keys and values as matrices for copy_box: of segments whose heads are 64 wide and lie one behind the other.
struct KeyMaps {
  CUtensorMap keys{}, values{};
  bool exist = false;
};

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)

constexpr int kProducerBarrier = 8;  // of the warpgroup that reads; those that multiply have their own index

// Where everything is in shared memory.
struct Shared90 {
  std::uint32_t queries, stages, full, empty;
  volatile int* spoilt;  // [stages] the block, plus one, whose values were not all finite
};

__device__ __forceinline__ std::uint32_t place(int row, int chunk) {
  return chunk / 8 * kTileBytes + swizzled<8>(row, chunk % 8);
}

// Warps that tell of a stage that has been used. What they have read of pages themselves, beside the tensor cores, all have
// read by then.
template <class S, class Source>
constexpr int kUsers = (Source::kPaged ? 4 : 1) * S::kConsumers;

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
  asm volatile("bar.sync %0, 128;" ::"n"(kProducerBarrier) : "memory");
  if (threadIdx.x == 0) arrive(shared.full + 8 * stage);
}

// Whole blocks of keys and values, copied by one thread. Returns how many.
template <class S>
__device__ __forceinline__ int produce_boxes(const Tile& tile, const Shared90& shared, const KeyMaps& maps,
                                             Ring<S::kStages>& filled) {
  const int whole = tile.keys / kKeys, row0 = static_cast<int>(tile.first_key);
  for (int block = 0; block < whole; ++block) {
    if (threadIdx.x == 0) {
      const std::uint32_t keys = shared.stages + filled.stage * 2 * S::kMatrixBytes,
                          full = shared.full + 8 * filled.stage;
      wait_for_phase(shared.empty + 8 * filled.stage, filled.parity ^ 1);
      arrive_and_expect(full, 2 * kTileBytes);
      copy_box(keys, maps.keys, 64 * tile.head, row0 + block * kKeys, full);
      copy_box(keys + kTileBytes, maps.values, 64 * tile.head, row0 + block * kKeys, full);
    }
    filled.next();
  }
  // A wait knows the phase before from the one after, but not from those further back: the other threads must not wait
  // for a stage before the first one has seen it used.
  asm volatile("bar.sync %0, 128;" ::"n"(kProducerBarrier) : "memory");
  return whole;
}

// Reads blocks of keys and values. What cannot be copied as a box 128 threads copy together: blocks that are not whole
// too, because what follows a segment must not reach its rows, not even times 0.
template <class S, class Source>
__device__ __forceinline__ void produce(const Source& source, const Tile& tile, const Shared90& shared,
                                        const KeyMaps& maps, const std::byte* memory) {
  const int blocks = (tile.keys + kKeys - 1) / kKeys;
  Ring<S::kStages> filled;
  int first = 0;
  if constexpr (!Source::kPaged) {
    if (maps.exist) first = produce_boxes<S>(tile, shared, maps, filled);
    if (first == blocks) return;
  }
  Ring<S::kStages> published = filled;
  for (int block = first; block < blocks + kLag; ++block) {
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
    if (block < first + kLag) continue;
    wait_for_copies<kLag>();
    publish<S, Source>(tile, shared, memory, block - kLag, published.stage);
    published.next();
  }
}

// The softmax of one block for rows g and g + 8: scores become weights. What was summed before is to be multiplied by
// `shrink`, exactly 1 where the block changes nothing, as for a row that sees none of its keys.
__device__ __forceinline__ void soften(float (&scores)[8][4], float (&largest)[2], float (&total)[2],
                                       float (&shrink)[2], float scale) {
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    float most = largest[i];
#pragma unroll
    for (int j = 0; j < 8; ++j) most = fmaxf(most, fmaxf(scores[j][2 * i], scores[j][2 * i + 1]));
    most = fmaxf(most, __shfl_xor_sync(0xffffffffu, most, 1));
    most = fmaxf(most, __shfl_xor_sync(0xffffffffu, most, 2));
    const float base = most == -INFINITY ? 0 : most * scale;
    shrink[i] = most == largest[i] ? 1 : exp2f((largest[i] - most) * scale);
    largest[i] = most;
    total[i] *= shrink[i];
#pragma unroll
    for (int j = 0; j < 8; ++j) {
      float &low = scores[j][2 * i], &high = scores[j][2 * i + 1];
      asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(low) : "f"(fmaf(low, scale, -base)));
      asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(high) : "f"(fmaf(high, scale, -base)));
      total[i] += low + high;
    }
  }
}

// What has led to `value`, which is not negative, is computed before what follows: a branch that depends on it is what the
// compiler moves nothing over. Else it computes exponentials only when the products beside them have ended.
__device__ __forceinline__ void keep_before(float value) {
  if (value < 0) __trap();
}

// Most blocks change no maximum.
template <int kParts>
__device__ __forceinline__ void shrink_sums(float (&sums)[kParts][8][4], const float (&shrink)[2]) {
  if (!__any_sync(0xffffffffu, shrink[0] != 1 || shrink[1] != 1)) return;
#pragma unroll
  for (int d = 0; d < kParts; ++d) {
#pragma unroll
    for (int j = 0; j < 8; ++j) {
#pragma unroll
      for (int i = 0; i < 4; ++i) sums[d][j][i] *= shrink[i / 2];
    }
  }
}

// Weights as the left operand.
__device__ __forceinline__ void pack(const float (&scores)[8][4], std::uint32_t (&weights)[4][4]) {
#pragma unroll
  for (int k = 0; k < 4; ++k) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      weights[k][i] = pack_bf16(scores[2 * k + i / 2][i % 2 * 2], scores[2 * k + i / 2][i % 2 * 2 + 1]);
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

  float largest[2] = {-INFINITY, -INFINITY}, total[2] = {}, shrink[2], sums[S::kParts][8][4] = {},
        scores[8][4] = {};
  std::uint32_t weights[4][4];
  const float scale = a.scale * kLog2E;
  const int row_in_tile = first + 16 * warp + g, blocks = (tile.keys + kKeys - 1) / kKeys;
  int sees[2] = {tile.keys, tile.keys};
  if constexpr (Source::kPaged) {
    sees[0] = min(tile.first_sees + row_in_tile, tile.keys);
    sees[1] = min(tile.first_sees + row_in_tile + 8, tile.keys);
  }
  const auto begin_scores = [&](int stage) {
    const std::uint32_t keys = shared.stages + stage * 2 * S::kMatrixBytes;
#pragma unroll
    for (int k = 0; k < S::kDim / 16; ++k) {
      wgmma<false>(scores, q[k], tile_descriptor(keys + k / 4 * kTileBytes + 32 * (k % 4)), k > 0);
    }
    wgmma_commit();
  };
  const auto begin_sums = [&](int stage) {
    const std::uint32_t values = shared.stages + (2 * stage + 1) * S::kMatrixBytes;
#pragma unroll
    for (int k = 0; k < kKeys / 16; ++k) {
#pragma unroll
      for (int d = 0; d < S::kParts; ++d) {
        wgmma<true>(sums[d], weights[k], tile_descriptor(values + d * kTileBytes + 2048 * k), true);
      }
    }
    wgmma_commit();
  };
  const auto pin_all = [&] {
    pin(scores);
    pin(weights);
#pragma unroll
    for (int d = 0; d < S::kParts; ++d) pin(sums[d]);
  };
  const auto soften_block = [&](int block) {
    if ((block + 1) * kKeys > tile.first_sees) {
#pragma unroll
      for (int j = 0; j < 8; ++j) {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          if (block * kKeys + 8 * j + 2 * t + i % 2 >= sees[i / 2]) scores[j][i] = -INFINITY;
        }
      }
    }
    soften(scores, largest, total, shrink, scale);
  };
  // The sums of a block are complete.
  const auto end_block = [&](int block, int stage) {
    if constexpr (Source::kPaged) {
      if (shared.spoilt[stage] == block + 1) {
#pragma unroll
        for (int d = 0; d < S::kParts; ++d) {
          put_back_not_finite(sums[d], source, tile, block * kKeys, (block + 1) * kKeys, sees, 64 * d);
        }
      }
    }
    if constexpr (Source::kPaged) __syncwarp();
    if (Source::kPaged ? lane == 0 : tid == 0) arrive(shared.empty + 8 * stage);
  };

  Ring<S::kStages> ring, used;
  wait_for_phase(shared.full + 8 * ring.stage, ring.parity);
  pin(scores);
  wgmma_begin();
  begin_scores(ring.stage);
  wgmma_wait<0>();
  pin(scores);
  soften_block(0);
  pack(scores, weights);
  ring.next();
  for (int block = 1; block < blocks; ++block) {
    wait_for_phase(shared.full + 8 * ring.stage, ring.parity);
    pin_all();
    wgmma_begin();
    begin_scores(ring.stage);
    begin_sums(used.stage);
    wgmma_wait<1>();
    pin(scores);
    soften_block(block);
    if constexpr (S::kDim == 64) keep_before(total[0] + total[1]);
    wgmma_wait<0>();
    pin_all();
    end_block(block - 1, used.stage);
    shrink_sums(sums, shrink);
    pack(scores, weights);
    ring.next();
    used.next();
  }
  pin_all();
  wgmma_begin();
  begin_sums(used.stage);
  wgmma_wait<0>();
  pin_all();
  end_block(blocks - 1, used.stage);

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

// Bound by the tensor cores and, for head_dim 64, as much by exponentials.
template <class S, class Source>
__global__ void __launch_bounds__(S::kThreads, 1)
    attention_sm90_kernel([[maybe_unused]] const __grid_constant__ Source source,
                          [[maybe_unused]] const __grid_constant__ KeyMaps maps) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  extern __shared__ __align__(1024) std::byte memory[];
  __shared__ __align__(8) std::uint64_t barriers[2 * S::kStages];
  __shared__ int spoilt[S::kStages];
  let_next_start();
  const std::uint32_t begin = (shared_address(memory) + 1023) & ~1023u;
  const Shared90 shared{begin, begin + S::kConsumers * S::kMatrixBytes, shared_address(barriers),
                        shared_address(barriers) + 8 * S::kStages, spoilt};
  if (threadIdx.x == 0) {
    for (int i = 0; i < S::kStages; ++i) {
      init_barrier(shared.full + 8 * i, 1);
      init_barrier(shared.empty + 8 * i, kUsers<S, Source>);
      spoilt[i] = 0;
    }
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
  }
  __syncthreads();
  wait_for_previous();
  Tile tile;
  if (!source.find(Source::kPaged ? gridDim.y - 1 - blockIdx.y : blockIdx.y, S::kRows, blockIdx.x, tile))
    return;
  if (tile.keys == 0) return clear_padding(source, tile);
  const int group = threadIdx.x / 128;
  if (group == 0) {
    shrink_registers<S::kProducerRegisters>();
    produce<S>(source, tile, shared, maps, memory + (begin - shared_address(memory)));
  } else {
    grow_registers<S::kConsumerRegisters>();
    consume<S>(source, tile, 64 * (group - 1), begin + (group - 1) * S::kMatrixBytes, shared);
  }
#endif
}

template <class S, class Source>
void run(Context& context, const char* name, const Source& source, int tiles, const KeyMaps& maps = {}) {
  // Blocks with less work come last, so that no multiprocessor waits long for another: of a segment the tile that is not whole, of
  // pages the first queries, which see few keys.
  launch(context, name, attention_sm90_kernel<S, Source>, dim3(source.a.heads, tiles), S::kThreads,
         S::kShared, source, maps);
}

}  // namespace

void run_segments_sm90(Context& context, const SegmentAttention<bf16_t>& a,
                       std::span<const std::int32_t> queries) {
  using Large = Shape90<64>;
  using Small = Shape90<64, 2>;
  const int large = tile_count(queries, Large::kRows), small = tile_count(queries, Small::kRows);
  // What the multiprocessor with the most tiles has to do. Small tiles are slower where all have many.
  const auto most_rows = [&](int tiles, int rows) {
    return divide_up(tiles * a.heads, context.processors) * rows;
  };
  KeyMaps maps{};
  maps.exist = a.dim == 64 && a.k_head == a.dim && a.v_head == a.dim;
  if (maps.exist) {
    maps.keys = tensor_map(context, "attention", a.k, a.k_row, a.keys, a.heads * a.dim, kKeys);
    maps.values = tensor_map(context, "attention", a.v, a.v_row, a.keys, a.heads * a.dim, kKeys);
  }
  if (5 * most_rows(small, Small::kRows) < 4 * most_rows(large, Large::kRows)) {
    return run<Small>(context, "attention", SegmentTiles{a}, small, maps);
  }
  run<Large>(context, "attention", SegmentTiles{a}, large, maps);
}

void run_many_rows_sm90(Context& context, const PagedAttention<bf16_t>& a) {
  const auto most_tiles = [&](int rows) {
    return static_cast<int>(blocks_for(a.rows, rows)) + a.sequences + 1;
  };
  if (a.dim <= 64) {
    return run<Shape90<64>>(context, "attention_paged", PagedTiles{a}, most_tiles(Shape90<64>::kRows));
  }
  run<Shape90<128>>(context, "attention_paged", PagedTiles{a}, most_tiles(Shape90<128>::kRows));
}

}  // namespace glmocr::cuda
