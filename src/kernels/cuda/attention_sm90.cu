// SPDX-License-Identifier: Apache-2.0
#include <numeric>

#include "base/numbers.h"
#include "kernels/cuda/attention_tiles.cuh"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/tensor_map.h"
#include "kernels/cuda/wgmma.cuh"

// Attention on Hopper: one warpgroup has keys and values read into a ring of stages, others multiply. While a block's scores
// become weights, the tensor cores multiply the keys of the next block and the values of the one before, and work for other
// warpgroups. Weights are relative to the largest score of a row's first block, not to the largest so far: fp32 and bf16 have
// the same exponents, so what they are relative to moves only where weights become too large, and no block waits for a maximum.
// Blocks of keys begin at multiples of kKeys, so what a row sums depends on the row alone.
namespace glmocr::cuda {
namespace {

constexpr int kKeys = 64, kLag = 2;   // kLag: copies of so many blocks are under way
constexpr int kTileBytes = 64 * 128;  // [64, 64] bf16; a wider matrix is several of them
constexpr float kLog2E = 1.44269504088896340736f;
constexpr float kMostWeight = 0x1p30f;  // a thread's part of the weights of a row and block

// kDim: head_dim, rounded up. Registers limit the warpgroups that multiply.
template <int kHeadDim>
struct Shape90 {
  static constexpr int kDim = kHeadDim, kParts = kDim / 64, kChunks = kDim / 8;
  static constexpr int kConsumers = kDim == 64 ? 3 : 2, kRows = 64 * kConsumers,
                       kThreads = 128 * (1 + kConsumers);
  static constexpr int kStages = kDim == 64 ? 6 : 5;
  static constexpr int kProducerRegisters = kConsumers == 3 ? 32 : 40,
                       kConsumerRegisters = kConsumers == 3 ? 160 : 232;
  static constexpr int kMatrixBytes = kParts * kTileBytes;  // 64 rows
  // Queries, then the stages: keys, values.
  static constexpr std::size_t kShared = 1024 + (kConsumers + 2 * kStages) * kMatrixBytes;
};

// Keys and values as matrices for copy_box: of segments whose heads are 64 wide and lie one behind the other, or of pages.
struct KeyMaps {
  CUtensorMap keys{}, values{};
  int rows = 0;  // of a box, a divisor of kKeys; 0: there are none
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

// Warps that tell of a stage that they have used.
template <class S>
constexpr int kUsers = 4 * S::kConsumers;

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

// Whole blocks of keys and values that all rows see, copied by one thread. Returns how many.
template <class S, class Source>
__device__ __forceinline__ int produce_boxes(const Source& source, const Tile& tile, const Shared90& shared,
                                             const KeyMaps& maps, Ring<S::kStages>& filled) {
  const int whole = min(tile.keys, tile.first_sees) / kKeys;
  for (int block = 0; block < whole; ++block) {
    if (threadIdx.x == 0) {
      const std::uint32_t keys = shared.stages + filled.stage * 2 * S::kMatrixBytes,
                          full = shared.full + 8 * filled.stage;
      wait_for_phase(shared.empty + 8 * filled.stage, filled.parity ^ 1);
      arrive_and_expect(full, 2 * S::kMatrixBytes);
      for (int token = 0; token < kKeys; token += maps.rows) {
        const int row = source.box_row(tile, block * kKeys + token), column = source.box_column(tile);
#pragma unroll
        for (int part = 0; part < S::kParts; ++part) {
          const std::uint32_t to = keys + part * kTileBytes + token * 128;
          copy_box(to, maps.keys, column + 64 * part, row, full);
          copy_box(to + S::kMatrixBytes, maps.values, column + 64 * part, row, full);
        }
      }
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
  if (maps.rows > 0) first = produce_boxes<S>(source, tile, shared, maps, filled);
  if (first == blocks) return;
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

__device__ __forceinline__ float exp2_approximate(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

// One warpgroup: 64 queries of a tile against all its keys.
template <class S, class Source>
class Consumer {
 public:
  // From row `first` of the tile on; q_tile: room for them in shared memory.
  __device__ __forceinline__ Consumer(const Source& source, const Tile& tile, int first, std::uint32_t q_tile,
                                      const Shared90& shared)
      : source_(source),
        tile_(tile),
        shared_(shared),
        first_(first),
        blocks_((tile.keys + kKeys - 1) / kKeys),
        q_tile_(q_tile),
        scale_(source.a.scale * kLog2E) {
    if constexpr (Source::kPaged) {
      sees_[0] = min(tile.first_sees + row_in_tile(), tile.keys);
      sees_[1] = min(tile.first_sees + row_in_tile() + 8, tile.keys);
    } else {
      sees_[0] = sees_[1] = tile.keys;
    }
  }

  __device__ __forceinline__ void run() {
    if (first_ >= tile_.rows) return pass_on();
    fetch_queries();
    Scores even = {}, odd = {};
    wait_for_phase(shared_.full, 0);
    pin(even);
    wgmma_begin();
    begin_scores(even, 0);
    wgmma_wait<0>();
    pin(even);
    pin_sums();
    // Both ends wait themselves: what came behind them could be moves between registers that products still write.
    for (int block = 0;;) {
      step(block, even, odd);
      if (++block == blocks_) {
        wait_for_sums();
        break;
      }
      step(block, odd, even);
      if (++block == blocks_) {
        wait_for_sums();
        break;
      }
    }
    end_block(blocks_ - 1, before_);
    write();
  }

 private:
  using Scores = float[kKeys / 8][4];  // in the order of mma(), as sums_

  __device__ __forceinline__ static int thread() { return threadIdx.x % 128; }
  __device__ __forceinline__ static int lane() { return threadIdx.x % 32; }
  __device__ __forceinline__ static int warp() { return thread() / 32; }
  __device__ __forceinline__ int row_in_tile() const { return first_ + 16 * warp() + lane() / 4; }

  // Each warp for itself: its lanes have read. compute-sanitizer racecheck, which follows no lane through __syncwarp to another's
  // arrival, reports what they read here by themselves: `spoilt`, and keys in scores_again.
  __device__ __forceinline__ void release(int stage) const {
    __syncwarp();
    if (lane() == 0) arrive(shared_.empty + 8 * stage);
  }
  // Without queries there is nothing to do but to let the others go on.
  __device__ __forceinline__ void pass_on() const {
    Ring<S::kStages> ring;
    for (int block = 0; block < blocks_; ++block) {
      wait_for_phase(shared_.full + 8 * ring.stage, ring.parity);
      release(ring.stage);
      ring.next();
    }
  }
  __device__ __forceinline__ void fetch_queries() const {
    for (int i = thread(); i < 64 * S::kChunks; i += 128) {
      const int row = i / S::kChunks, chunk = i % S::kChunks;
      const bool valid = first_ + row < tile_.rows && 8 * chunk < source_.a.dim;
      copy_16(q_tile_ + place(row, chunk),
              valid ? source_.query(tile_, first_ + row) + 8 * chunk : source_.a.q, valid);
    }
    commit_copies();
    wait_for_copies<0>();
    publish_to_tensor_cores();
    warpgroup_barrier();
  }

  // Both operands from shared memory: a product whose left one is in registers holds up what the warp does beside it.
  __device__ __forceinline__ void begin_scores(Scores& scores, int stage) const {
    const TileDescriptor queries(q_tile_), keys(shared_.stages + stage * 2 * S::kMatrixBytes);
#pragma unroll
    for (int k = 0; k < S::kDim / 16; ++k) {
      const int at = k / 4 * kTileBytes + 32 * (k % 4);
      wgmma(scores, queries.at(at), keys.at(at), k > 0);
    }
    wgmma_commit();
  }
  __device__ __forceinline__ void begin_sums(int stage) {
    const TileDescriptor values(shared_.stages + (2 * stage + 1) * S::kMatrixBytes);
#pragma unroll
    for (int k = 0; k < kKeys / 16; ++k) {
#pragma unroll
      for (int d = 0; d < S::kParts; ++d) {
        wgmma<true>(sums_[d], weights_[k], values.at(d * kTileBytes + 2048 * k), true);
      }
    }
    wgmma_commit();
  }
  __device__ __forceinline__ void pin_sums() {
    pin(weights_);
#pragma unroll
    for (int d = 0; d < S::kParts; ++d) pin(sums_[d]);
  }
  __device__ __forceinline__ void wait_for_sums() {
    wgmma_wait<0>();
    pin_sums();
  }

  // The products of the values of the block before, and those of the keys of the next one, run while the scores of this one,
  // which are complete, become weights.
  __device__ __forceinline__ void step(int block, Scores& scores, Scores& next) {
    const int stage = ring_.stage;
    if (block + 1 < blocks_) {
      ring_.next();
      wait_for_phase(shared_.full + 8 * ring_.stage, ring_.parity);
    }
    pin(next);
    wgmma_begin();
    begin_scores(next, ring_.stage);  // behind the last block those of the last once more
    soften(scores, block, stage);
    wgmma_wait<1>();
    pin_sums();
    if (block > 0) end_block(block - 1, before_);
    pack(scores);
    pin_sums();
    wgmma_begin();
    begin_sums(stage);
    wgmma_wait<1>();
    pin(next);
    before_ = stage;
  }

  // Scores of eight keys from `key` on become -∞ where a row does not see them.
  __device__ __forceinline__ void hide(float (&scores)[4], int key) const {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      if (key + 2 * (lane() % 4) + i % 2 >= sees_[i / 2]) scores[i] = -INFINITY;
    }
  }
  __device__ __forceinline__ float weight(float score, int i) const {
    return exp2_approximate(fmaf(score, scale_, -base_[i]));
  }

  // Scores become weights: 2^(score · scale - base) for rows g and g + 8.
  __device__ __forceinline__ void soften(Scores& scores, int block, int stage) {
    if ((block + 1) * kKeys > tile_.first_sees) {
#pragma unroll
      for (int j = 0; j < 8; ++j) hide(scores[j], block * kKeys + 8 * j);
    }
    if (block == 0) begin_base(scores);
    float sum[2];
#pragma unroll
    for (int j = 0; j < 8; ++j) {
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        float &low = scores[j][2 * i], &high = scores[j][2 * i + 1];
        low = weight(low, i);
        high = weight(high, i);
        sum[i] = j == 0 ? low + high : sum[i] + (low + high);
      }
    }
    if (__any_sync(0xffffffffu, is_too_large(sum[0]) || is_too_large(sum[1]))) {
      move_base(scores, sum, block, stage);
    }
    total_[0] += sum[0];
    total_[1] += sum[1];
  }
  __device__ __forceinline__ static bool is_too_large(float sum) { return !(sum <= kMostWeight); }

  __device__ __forceinline__ void begin_base(const Scores& scores) {
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      float most = -INFINITY;
#pragma unroll
      for (int j = 0; j < 8; ++j) most = fmaxf(most, fmaxf(scores[j][2 * i], scores[j][2 * i + 1]));
      most = row_maximum(most);
      base_[i] = most == -INFINITY ? 0 : most * scale_;
    }
  }
  __device__ __forceinline__ static float row_maximum(float value) {
    value = fmaxf(value, __shfl_xor_sync(0xffffffffu, value, 1));
    return fmaxf(value, __shfl_xor_sync(0xffffffffu, value, 2));
  }

  // Rows with weights that are too large are weighed again, relative to the largest score of this block. Whether a row is
  // depends on itself alone. Its scores are gone, so a warp computes them again by itself.
  __device__ __forceinline__ void move_base(Scores& weights, float (&sum)[2], int block, int stage) {
    wgmma_wait<0>();
#pragma unroll
    for (int d = 0; d < S::kParts; ++d) pin(sums_[d]);
    bool moves[2];
    float most[2] = {-INFINITY, -INFINITY};
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      moves[i] = (__ballot_sync(0xffffffffu, is_too_large(sum[i])) >> (lane() & 28) & 15) != 0;
    }
#pragma unroll 1
    for (int j = 0; j < 8; ++j) {
      float again[4];
      scores_again(again, block, stage, j);
#pragma unroll
      for (int i = 0; i < 4; ++i) most[i / 2] = fmaxf(most[i / 2], again[i]);
    }
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      most[i] = row_maximum(most[i]);
      if (!moves[i]) continue;
      const float base = fmaxf(base_[i], most[i] * scale_);
      shrink(i, exp2_approximate(base_[i] - base));
      base_[i] = base;
      sum[i] = 0;
    }
#pragma unroll
    for (int j = 0; j < 8; ++j) {
      float again[4];
      scores_again(again, block, stage, j);
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        if (!moves[i / 2]) continue;
        weights[j][i] = weight(again[i], i / 2);
        sum[i / 2] += weights[j][i];
      }
    }
#pragma unroll
    for (int d = 0; d < S::kParts; ++d) pin(sums_[d]);
  }
  __device__ __forceinline__ void shrink(int i, float factor) {
    total_[i] *= factor;
#pragma unroll
    for (int d = 0; d < S::kParts; ++d) {
#pragma unroll
      for (int j = 0; j < 8; ++j) {
        sums_[d][j][2 * i] *= factor;
        sums_[d][j][2 * i + 1] *= factor;
      }
    }
  }
  // The scores of eight keys, from 8j on in their block.
  __device__ __forceinline__ void scores_again(float (&scores)[4], int block, int stage, int j) const {
    const std::uint32_t keys = shared_.stages + stage * 2 * S::kMatrixBytes;
#pragma unroll
    for (int i = 0; i < 4; ++i) scores[i] = 0;
#pragma unroll 1
    for (int k = 0; k < S::kDim / 16; k += 2) {
      std::uint32_t left[2][4], right[4];
      load_matrices(left[0], q_tile_ + place(16 * warp() + lane() % 16, 2 * k + lane() / 16));
      load_matrices(left[1], q_tile_ + place(16 * warp() + lane() % 16, 2 * k + 2 + lane() / 16));
      load_matrices(right, keys + place(8 * j + lane() % 8, 2 * k + lane() / 8));
      mma(scores, left[0], right[0], right[1]);
      mma(scores, left[1], right[2], right[3]);
    }
    hide(scores, block * kKeys + 8 * j);
  }

  // Weights as the left operand.
  __device__ __forceinline__ void pack(const Scores& weights) {
#pragma unroll
    for (int k = 0; k < kKeys / 16; ++k) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        weights_[k][i] = pack_bf16(weights[2 * k + i / 2][i % 2 * 2], weights[2 * k + i / 2][i % 2 * 2 + 1]);
      }
    }
  }

  // The sums of a block are complete.
  __device__ __forceinline__ void end_block(int block, int stage) {
    if constexpr (Source::kPaged) {
      if (shared_.spoilt[stage] == block + 1) {
#pragma unroll
        for (int d = 0; d < S::kParts; ++d) {
          put_back_not_finite(sums_[d], source_, tile_, block * kKeys, (block + 1) * kKeys, sees_, 64 * d);
        }
      }
    }
    release(stage);
  }

  __device__ __forceinline__ void write() {
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      total_[i] += __shfl_xor_sync(0xffffffffu, total_[i], 1);
      total_[i] += __shfl_xor_sync(0xffffffffu, total_[i], 2);
      const int row = row_in_tile() + 8 * i;
      if (row >= tile_.rows) continue;
      bf16_t* to = source_.result(tile_, row);
      const float factor = 1 / total_[i];
#pragma unroll
      for (int d = 0; d < S::kParts; ++d) {
#pragma unroll
        for (int j = 0; j < 8; ++j) {
          const int column = 64 * d + 8 * j + 2 * (lane() % 4);
          if (column >= source_.a.dim) continue;  // dim is a multiple of 8
          to[column] = from_float<bf16_t>(sums_[d][j][2 * i] * factor);
          to[column + 1] = from_float<bf16_t>(sums_[d][j][2 * i + 1] * factor);
        }
      }
    }
  }

  const Source& source_;
  const Tile& tile_;
  const Shared90& shared_;
  int first_, blocks_;
  std::uint32_t q_tile_;
  float scale_;
  int sees_[2];  // keys that rows g and g + 8 see
  Ring<S::kStages> ring_;
  int before_ = 0;  // the stage of the block before
  float base_[2] = {}, total_[2] = {}, sums_[S::kParts][8][4] = {};
  std::uint32_t weights_[kKeys / 16][4] = {};
};

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
      init_barrier(shared.empty + 8 * i, kUsers<S>);
      spoilt[i] = 0;
    }
    publish_barriers();
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
    Consumer<S, Source>(source, tile, 64 * (group - 1), begin + (group - 1) * S::kMatrixBytes, shared).run();
  }
#endif
}

template <class S, class Source>
void run(Context& context, const char* name, const Source& source, int tiles, const KeyMaps& maps) {
  // Blocks with less work come last, so that no multiprocessor waits long for another: of a segment the tile that is not whole, of
  // pages the first queries, which see few keys.
  launch(context, name, attention_sm90_kernel<S, Source>, dim3(source.a.heads, tiles), S::kThreads,
         S::kShared, source, maps);
}

template <class S>
void run_pages(Context& context, const PagedAttention<bf16_t>& a) {
  KeyMaps maps{};
  const int box = std::gcd(a.page_size, kKeys);
  if (a.dim == S::kDim && box % 8 == 0) {
    const int rows = a.all_pages * a.kv_heads * a.page_size;
    maps.rows = box;
    maps.keys = tensor_map(context, "attention_paged", a.keys, a.dim, rows, a.dim, box);
    maps.values = tensor_map(context, "attention_paged", a.values, a.dim, rows, a.dim, box);
  }
  const int most_tiles = static_cast<int>(blocks_for(a.rows, S::kRows)) + a.sequences + 1;
  run<S>(context, "attention_paged", PagedTiles{a}, most_tiles, maps);
}

}  // namespace

void run_segments_sm90(Context& context, const SegmentAttention<bf16_t>& a,
                       std::span<const std::int32_t> queries) {
  using S = Shape90<64>;
  KeyMaps maps{};
  if (a.dim == 64 && a.k_head == a.dim && a.v_head == a.dim) {
    maps.rows = kKeys;
    maps.keys = tensor_map(context, "attention", a.k, a.k_row, a.keys, a.heads * a.dim, kKeys);
    maps.values = tensor_map(context, "attention", a.v, a.v_row, a.keys, a.heads * a.dim, kKeys);
  }
  run<S>(context, "attention", SegmentTiles{a}, tile_count(queries, S::kRows), maps);
}

void run_many_rows_sm90(Context& context, const PagedAttention<bf16_t>& a) {
  a.dim <= 64 ? run_pages<Shape90<64>>(context, a) : run_pages<Shape90<128>>(context, a);
}

}  // namespace glmocr::cuda
