// SPDX-License-Identifier: Apache-2.0
#include "kernels/cuda/decoder_layers.cuh"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/mma.cuh"
#include "kernels/cuda/wgmma.cuh"

// All layers of a decoder for one row, in one launch. Bound by memory: weights are read once, by a warp that does nothing else and
// waits for nobody but its ring of stages, so that reading goes on while blocks wait for each other. The copy engine reads them:
// loads of threads would stand before those that look for values of other blocks. Every sum has the order of the kernels that
// compute the operations one by one (linear_few.cu, attention_pair.cu, norm.cu): the bits are the same.
namespace glmocr::cuda::decoder {
namespace {

struct Shared {
  alignas(128) std::byte ring[kStages][kStageBytes];
  uint4 keys[kThreadChunks * kScoreThreads];      // each thread its own
  alignas(128) uint4 values[kPart * kRowChunks];  // by rows, swizzled
  float norm_weights[2 * Norm::kMostWidth];
  float partial[2][kWarps][17];
  float2 scores[kPart];  // of both heads
  uint4 queries[kHeads * kRowChunks];
  alignas(16) float angles[kDim];  // cosines, then sines, of the row
  uint4 residual[kHalf];           // x, in every block, each thread its own
  float reduced[32];
  int last;
  // Of a product, by turns: one is written while others of the block still read the other.
  alignas(16) bf16_t hidden_row[kShortTerms];
  alignas(16) bf16_t row[kLongTerms];
  std::uint64_t full[kStages][kPieces], empty[kStages];
};

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)

// Of a stage: the features that a group of warps has there.
struct Features {
  int first, end;
};
__device__ __forceinline__ Features features_of(const Split& split, int groups, int out, int stage,
                                                int group) {
  const int block = static_cast<int>(blockIdx.x) * split.columns;
  const int first = block + (stage * groups + group) * split.width;
  return {first, min(first + split.width, min(block + split.columns, out))};
}
// Where group, matrix (gate, up) and feature of a stage have their row.
__device__ __forceinline__ int row_of_stage(const Split& split, int matrices, int group, int matrix, int i) {
  return (group * matrices + matrix) * split.width + i;
}

__device__ __forceinline__ const bf16_t* qkv_row(const RowArguments& a, const Layer& layer, int feature) {
  const std::int64_t in = a.hidden;
  if (feature < a.q_out) return layer.q + feature * in;
  feature -= a.q_out;
  return feature < a.kv_out ? layer.k + feature * in : layer.v + (feature - a.kv_out) * in;
}

// The warp that reads weights, in the order in which DecoderRow uses them. They do not change, so it waits for no kernel.
class WeightReader {
 public:
  __device__ __forceinline__ WeightReader(const RowArguments& arguments, Shared& shared)
      : a(arguments), s(shared) {}

  __device__ __forceinline__ void run() {
    for (int index = 0; index < a.layer_count; ++index) {
      const Layer& layer = a.layers[index];
      read(a.qkv, 2, a.hidden, a.q_out + 2 * a.kv_out, 1,
           [&](int, int feature) { return qkv_row(a, layer, feature); });
      read(a.o, 2, a.q_out, a.hidden, 1,
           [&](int, int feature) { return layer.o + std::int64_t{feature} * a.q_out; });
      read(a.gated, 2, a.hidden, a.inner, 2, [&](int matrix, int feature) {
        return (matrix == 0 ? layer.gate : layer.up) + std::int64_t{feature} * a.hidden;
      });
      read(a.down, 1, a.inner, a.hidden, 1,
           [&](int, int feature) { return layer.down + std::int64_t{feature} * a.inner; });
    }
  }

 private:
  template <class RowOf>
  __device__ __forceinline__ void read(const Split& split, int groups, int in, int out, int matrices,
                                       const RowOf& row_of) {
    const int lane = static_cast<int>(threadIdx.x) % 32, rows = groups * matrices * split.width;
    for (int stage = 0; stage < split.stages; ++stage) {
      wait_for_phase(shared_address(s.empty + ring.stage), ring.parity ^ 1);
      for (int piece = 0; piece < kPieces; ++piece) {
        hold_back();
        const int i = rows * piece / kPieces + lane, end = rows * (piece + 1) / kPieces;
        const int group = i / split.width / matrices, matrix = i / split.width % matrices;
        const Features features = features_of(split, groups, out, stage, group);
        const int feature = features.first + i % split.width;
        const bool valid = i < end && feature < features.end;
        const int count = __popc(__ballot_sync(0xffffffffu, valid));
        const auto full = shared_address(&s.full[ring.stage][piece]);
        if (lane == 0) arrive_and_expect(full, count * in * 2);
        __syncwarp();
        if (valid) {
          copy_bytes(shared_address(s.ring[ring.stage] + i * row_bytes(in)), row_of(matrix, feature), in * 2,
                     full);
        }
      }
      ring.next();
    }
  }
  // No more than kAhead pieces are under way: what waits in the memory's queues holds up all who ask for anything, blocks that look
  // for values of others as well.
  __device__ __forceinline__ void hold_back() {
    if (under_way < kAhead) {
      ++under_way;
      return;
    }
    wait_for_phase(shared_address(&s.full[oldest.stage][oldest_piece]), oldest.parity);
    if (++oldest_piece < kPieces) return;
    oldest_piece = 0;
    oldest.next();
  }

  const RowArguments& a;
  Shared& s;
  Ring<kStages> ring, oldest;
  int oldest_piece = 0, under_way = 0;
};

class DecoderRow {
 public:
  __device__ __forceinline__ DecoderRow(const RowArguments& arguments, Shared& shared)
      : a(arguments), s(shared) {}

  __device__ __forceinline__ void run() {
    wait_for_previous();
    begin();
    for (int index = 0; index < a.layer_count; ++index) {
      const Layer& layer = a.layers[index];
      if (index > 0) take_norm<1>(place(index - 1).mlp_out);
      places = &place(index);
      product<8, false>(a.qkv, a.hidden, a.q_out + 2 * a.kv_out, s.hidden_row, places->projected);
      fetch_norms(layer.attention_norm, layer.mlp_input_norm);
      if (warp < kHalf / 32) attention(layer);
      if (warp == kHalf / 32) clear_used(index);
      take_row<kShortTerms>(places->attended, a.q_out);
      product<8, false>(a.o, a.q_out, a.hidden, s.row, places->attention_out);
      take_norm<0>(places->attention_out);
      product<8, true>(a.gated, a.hidden, a.inner, s.hidden_row, places->activated);
      take_row<kLongTerms>(places->activated, a.inner);
      if (index + 1 == a.layer_count) let_next_start();
      product<16, false>(a.down, a.inner, a.hidden, s.row, places->mlp_out);
      fetch_norms(layer.mlp_norm, layer.next_norm);
      if (index + 1 < a.layer_count) fetch_keys(a.layers[index + 1], blockIdx.x);
    }
    finish();
  }

 private:
  const RowArguments& a;
  Shared& s;
  Places* places = nullptr;  // of the layer
  const int tid = threadIdx.x, warp = tid / 32, lane = tid % 32, g = lane / 4, t = lane % 4;
  Ring<kStages> ring;
  int visible = 0;             // keys that the row sees
  int current = -1;            // the one whose key and value this step computes
  std::int64_t own_begin = 0;  // where its first head is in the store
  bool gave_up = false;

  // Of all threads that compute.
  __device__ __forceinline__ void block_barrier() const {
    asm volatile("bar.sync 0, %0;" ::"n"(kThreads) : "memory");
  }

  // --- what blocks hand each other

  __device__ __forceinline__ Places& place(int layer) const { return a.places[layer % 2]; }
  __device__ __forceinline__ void hand_over(bf16_t* to, float value) const {
    asm volatile("st.relaxed.gpu.global.b16 [%0], %1;" ::"l"(to),
                 "h"(__bfloat16_as_ushort(from_float<bf16_t>(value)))
                 : "memory");
  }
  __device__ __forceinline__ static uint4 values_at(const bf16_t* from) {
    uint4 values;
    asm volatile("ld.relaxed.gpu.global.v4.u32 {%0, %1, %2, %3}, [%4];"
                 : "=r"(values.x), "=r"(values.y), "=r"(values.z), "=r"(values.w)
                 : "l"(from)
                 : "memory");
    return values;
  }
  // Whether one of the values is kMissing.
  __device__ __forceinline__ static bool has_missing(const uint4& values) {
    const auto missing = [](std::uint32_t both) { return (~both - 0x00010001u) & both & 0x80008000u; };
    return (missing(values.x) | missing(values.y) | missing(values.z) | missing(values.w)) != 0;
  }
  // A thread's packs of eight values, kThreads * 8 apart from `from` on, those below `count`, when all have come. By whole
  // warps: while lanes miss values, one of them looks alone, so that many looks do not hold up the weights.
  template <int kPacks>
  __device__ __forceinline__ void receive(uint4 (&values)[kPacks], const bf16_t* from, int count) {
    const auto look = [&] {
      bool missing = false;
#pragma unroll
      for (int p = 0; p < kPacks; ++p) {
        if (p * kThreads * 8 < count) values[p] = values_at(from + p * kThreads * 8);
      }
#pragma unroll
      for (int p = 0; p < kPacks; ++p) missing |= p * kThreads * 8 < count && has_missing(values[p]);
      return missing;
    };
    Patience patience;
    bool missing = look();
    while (const unsigned lanes = __ballot_sync(0xffffffffu, missing)) {
      if (lane == __ffs(static_cast<int>(lanes)) - 1) {
        while (!gave_up && (missing = look())) gave_up = patience.ends();
        if (gave_up) *a.paged.step_fault = kWaitedInVain;
      }
      gave_up = __any_sync(0xffffffffu, gave_up);
      if (gave_up) return;
      if (missing) missing = look();
    }
  }
  // What every block has read by now becomes kMissing: the places of the layer before, and the `mlp_out` of the one before it,
  // since that of the layer before may still be read. By a warp that has no part in attention; each block has a slice of each
  // place. What the block hands over next is seen after this.
  __device__ __forceinline__ void clear_used(int index) const {
    if (index > 0) {
      Places& before = place(index - 1);
      clear_slice(before.projected, a.q_out + 2 * a.kv_out);
      clear_slice(before.attended, a.q_out);
      clear_slice(before.attention_out, a.hidden);
      clear_slice(before.activated, a.inner);
    }
    if (index > 1) clear_slice(place(index).mlp_out, a.hidden);
    __threadfence();
  }
  __device__ __forceinline__ void clear_slice(bf16_t* place, int width) const {
    const int blocks = static_cast<int>(gridDim.x);
    for (int i = (static_cast<int>(blockIdx.x) + lane * blocks) * 8; i < width; i += 32 * blocks * 8) {
      clear_eight(place + i);
    }
  }
  __device__ __forceinline__ static void clear_eight(bf16_t* to) {
    *reinterpret_cast<uint4*>(to) = {kMissing, kMissing, kMissing, kMissing};
  }

  __device__ __forceinline__ void begin() {
    const int first = a.paged.row_starts[0], end = a.paged.row_starts[1];
    if (first <= 0 && end > 0) visible = a.paged.keys_seen(0, end, a.paged.context_lens[0]);
    std::int64_t slot = a.slots[0];
    if (slot < -1 || slot >= a.slot_count) {
      *a.paged.step_fault = kIndexOutside;
      slot = -1;
    }
    if (slot >= 0) {
      current = visible - 1;
      own_begin =
          (slot / a.paged.page_size * a.paged.kv_heads * a.paged.page_size + slot % a.paged.page_size) * kDim;
    }
    fetch_keys(a.layers[0], blockIdx.x);
    if (tid < kDim) s.angles[tid] = tid < kDim / 2 ? a.table[tid] : a.table[a.sines_at + tid - kDim / 2];
    if (tid < kHalf && tid * 8 < a.hidden) {
      s.residual[tid] = *reinterpret_cast<const uint4*>(a.x + tid * 8);
    }
    for (int i = tid * 8; i < a.hidden; i += kThreads * 8) {
      *reinterpret_cast<uint4*>(s.hidden_row + i) = *reinterpret_cast<const uint4*>(a.h + i);
    }
    block_barrier();
  }

  // The last norm: by one block. What it waits for comes from all blocks when they have read all else.
  __device__ __forceinline__ void finish() {
    if (blockIdx.x != 0) return;
    if (tid < kHalf) {
      add_norm<0>(a.h, place(a.layer_count - 1).mlp_out);
      if (tid * 8 < a.hidden) *reinterpret_cast<uint4*>(a.x + tid * 8) = s.residual[tid];
    }
    block_barrier();
    auto* values = reinterpret_cast<bf16_t*>(a.places);
    for (int i = tid * 8; i < 2 * static_cast<int>(sizeof(Places) / sizeof(bf16_t)); i += kThreads * 8) {
      clear_eight(values + i);
    }
  }

  // The row of the next product: values that other blocks hand over.
  template <int kMostWidth>
  __device__ __forceinline__ void take_row(const bf16_t* from, int width) {
    uint4 values[(kMostWidth + kThreads * 8 - 1) / (kThreads * 8)];
    receive(values, from + tid * 8, width - tid * 8);
#pragma unroll
    for (int p = 0; p < static_cast<int>(std::size(values)); ++p) {
      const int i = (p * kThreads + tid) * 8;
      if (i < width) *reinterpret_cast<uint4*>(s.row + i) = values[p];
    }
    block_barrier();
  }

  // --- norms

  __device__ __forceinline__ void fetch_norms(const float* weight, const float* next) {
    if (tid >= kHalf) return;
    Norm norm;
    norm.width = a.hidden;
    norm.fetch_weights(s.norm_weights, weight, next);
  }
  // What other blocks hand over is added to the residual stream; `to` gets its norm.
  template <int kPending>
  __device__ __forceinline__ void add_norm(bf16_t* to, const bf16_t* from) {
    Norm norm{};
    norm.width = a.hidden;
    uint4 values[1]{};
    receive(values, from + tid * 8, a.hidden - tid * 8);
    const Pack<bf16_t, 8> y[1] = {*reinterpret_cast<const Pack<bf16_t, 8>*>(values)};
    norm.for_packs([&](int p) { norm.sum[p] = *reinterpret_cast<const Pack<bf16_t, 8>*>(&s.residual[tid]); });
    norm.template compute<kPending>(y, s.norm_weights, a.eps, s.reduced);
    norm.for_packs([&](int p) { *reinterpret_cast<Pack<bf16_t, 8>*>(&s.residual[tid]) = norm.sum[p]; });
    norm.store(to, norm.result);
  }
  // The norm is the row of the next product.
  template <int kPending>
  __device__ __forceinline__ void take_norm(const bf16_t* from) {
    if (tid < kHalf) add_norm<kPending>(s.hidden_row, from);
    block_barrier();
  }

  // --- products

  // The features of this block, by groups of kParts warps, each warp a part of the terms. Gated: Product::gated.
  template <int kParts, bool kGated>
  __device__ __forceinline__ void product(const Split& split, int in, int out, const bf16_t* row,
                                          bf16_t* to) {
    constexpr int kGroupThreads = 32 * kParts, kProductGroups = kWarps / kParts;
    const int group = warp / kParts, stride = row_bytes(in);
    const int steps = in / kStep, per_warp = (steps + kParts - 1) / kParts;
    const int first_step = warp % kParts * per_warp, count = min(per_warp, steps - first_step);
    const bf16_t* x = row + first_step * kStep + 8 * t;
    const int one_row = row_of_stage(split, kGated ? 2 : 1, group, 0, g);
    const int other_row = kGated ? row_of_stage(split, 2, group, 1, g) : one_row + 8;
    const bool has_one = g < split.width, has_other = kGated ? has_one : g + 8 < split.width;
    for (int stage = 0; stage < split.stages; ++stage) {
      const std::byte* weights = s.ring[ring.stage] + first_step * 2 * kStep + 16 * t;
#pragma unroll
      for (int piece = 0; piece < kPieces; ++piece) {
        wait_for_phase(shared_address(&s.full[ring.stage][piece]), ring.parity);
      }
      float sums[4] = {};
#pragma unroll
      for (int u = 0; u < kSteps<kParts>; ++u) {
        if (u < count) {
          const auto load = [&](bool has, int row) {
            return has ? *reinterpret_cast<const uint4*>(weights + row * stride + u * 2 * kStep) : uint4{};
          };
          // Only the first column of the right operand is a row.
          const uint4 terms = g == 0 ? *reinterpret_cast<const uint4*>(x + u * kStep) : uint4{};
          const uint4 one = load(has_one, one_row), other = load(has_other, other_row);
          mma(sums, {one.x, other.x, one.y, other.y}, terms.x, terms.y);
          mma(sums, {one.z, other.z, one.w, other.w}, terms.z, terms.w);
        }
      }
      // The other lanes have read before lane 0 arrives for them. compute-sanitizer racecheck, which follows no lane through
      // __syncwarp to another's arrival, reports these reads and the copies behind them.
      __syncwarp();
      if (lane == 0) arrive(shared_address(s.empty + ring.stage));
      const int buffer = stage % 2;
      if (t == 0) {
        s.partial[buffer][warp][g] = sums[0];
        s.partial[buffer][warp][g + 8] = sums[2];
      }
      // The other buffer is free when all have come here again.
      asm volatile("bar.sync %0, %1;" ::"r"(kGroupBarrier + group), "n"(kGroupThreads) : "memory");
      const Features features = features_of(split, kProductGroups, out, stage, group);
      const int i = tid % kGroupThreads, feature = features.first + i;
      if (i < split.width && feature < features.end) {
        const auto sum_of = [&](int column) {
          return sum_of_parts<kParts>(
              [&](int part) { return s.partial[buffer][group * kParts + part][column]; });
        };
        if constexpr (kGated) {
          hand_over(to + feature, Bf16Product::gated(sum_of(i), sum_of(i + 8)));
        } else {
          hand_over(to + feature, sum_of(i));
        }
      }
      ring.next();
    }
  }

  // --- attention: a unit is a part of the context for the query heads of a kv head

  __device__ __forceinline__ int unit_count() const {
    return max((visible + kPart - 1) / kPart, 1) * a.paged.kv_heads;
  }
  // Of a thread's copies: number u, those of keys as score_tile takes them (row u / 4, j = u % 4).
  __device__ __forceinline__ int chunk_of(int u, bool keys) const {
    if (keys) return (warp * kTileKeys + g + u / 4 * 8) * kRowChunks + u % 4 * 4 + t;
    return u * kScoreThreads + tid - kScoreThreads;
  }
  __device__ __forceinline__ uint4* value_at(int key, int chunk) {
    return s.values + swizzled<kRowChunks>(key, chunk) / sizeof(uint4);
  }
  // Where a key is in the store, of those that the row sees.
  __device__ __forceinline__ std::int64_t place_of(int token, int kv_head) const {
    const int of = a.paged.page_of(token), page = a.paged.page_table[min(of, a.paged.pages - 1)];
    return a.paged.offset(page, kv_head, token - of * a.paged.page_size);
  }
  // The first warps of the half fetch keys, the others values. What this step computes is left out.
  __device__ __forceinline__ void fetch_keys(const Layer& layer, int unit) {
    if (tid >= kHalf) return;
    const int part = unit / a.paged.kv_heads, kv_head = unit % a.paged.kv_heads;
    const bool keys = tid < kScoreThreads;
#pragma unroll
    for (int u = 0; u < kThreadChunks; ++u) {
      const int i = chunk_of(u, keys), key = i / kRowChunks, chunk = i % kRowChunks,
                token = part * kPart + key;
      if (token == current) continue;
      const bool valid = token < visible;
      const std::int64_t from = valid ? place_of(token, kv_head) + 8 * chunk : 0;
      copy_16(shared_address(keys ? s.keys + u * kScoreThreads + tid : value_at(key, chunk)),
              (keys ? layer.keys : layer.values) + from, valid);
    }
    commit_copies();
  }
  __device__ __forceinline__ void half_barrier() const { row_barrier<kHalf, kHalfBarrier>(); }

  __device__ __forceinline__ void attention(const Layer& layer) {
    // Behind the first unit's keys come the weights of a norm.
    wait_for_copies<1>();
    for (int unit = blockIdx.x; unit < unit_count(); unit += gridDim.x) {
      if (unit != static_cast<int>(blockIdx.x)) {
        half_barrier();  // shared memory has been read
        fetch_keys(layer, unit);
        wait_for_copies<0>();
      }
      attend(layer, unit);
    }
  }

  // The key that this step computes, before it is turned; where it is kept, as its value.
  __device__ __forceinline__ const bf16_t* own_key_at(int kv_head) const {
    return places->projected + a.q_out + kv_head * kDim;
  }
  __device__ __forceinline__ std::int64_t own_place(int kv_head) const {
    return own_begin + std::int64_t{kv_head} * a.paged.page_size * kDim;
  }
  // Where a thread of the warp that scores key `key` of the part keeps a chunk of it.
  __device__ __forceinline__ uint4* key_at(int key, int chunk) {
    const int row = key % kTileKeys, thread = key / kTileKeys * 32 + row % 8 * 4 + chunk % 4;
    return s.keys + (row / 8 * 4 + chunk / 4) * kScoreThreads + thread;
  }

  // A chunk of the queries, of the key or of the value that this step computes, in the warps of the half in this order; queries and
  // key are turned. own_key: that key of the part, or -1.
  __device__ __forceinline__ void take_own(const Layer& layer, int kv_head, int own_key) {
    const int head = tid / kRowChunks, chunk = tid % kRowChunks;
    const bool takes = head < kHeads || (head <= kHeads + 1 && own_key >= 0);
    const bf16_t* from = head < kHeads    ? places->projected + (kv_head * kHeads + head) * kDim
                         : head == kHeads ? own_key_at(kv_head)
                                          : own_key_at(kv_head) + a.kv_out;
    uint4 values[1];
    receive(values, from + 8 * chunk, takes ? 8 : 0);
    if (!takes) return;
    auto pack = *reinterpret_cast<const Pack<bf16_t, 8>*>(values);
    if (head <= kHeads) {
      pack = turned(pack, *reinterpret_cast<const Pack<float, 4>*>(s.angles + 4 * chunk),
                    *reinterpret_cast<const Pack<float, 4>*>(s.angles + kDim / 2 + 4 * chunk));
    }
    uint4* to = head < kHeads    ? s.queries + tid
                : head == kHeads ? key_at(own_key, chunk)
                                 : value_at(own_key, chunk);
    *reinterpret_cast<Pack<bf16_t, 8>*>(to) = pack;
    if (head >= kHeads) {
      bf16_t* kept = (head == kHeads ? layer.keys : layer.values) + own_place(kv_head) + 8 * chunk;
      *reinterpret_cast<Pack<bf16_t, 8>*>(kept) = pack;
    }
  }
  // Scores of the warp's tile of keys.
  __device__ __forceinline__ void score() {
    uint4 q[4], rows[2][4];
#pragma unroll
    for (int j = 0; j < 4; ++j) q[j] = s.queries[g % 2 * kRowChunks + 4 * j + t];
#pragma unroll
    for (int u = 0; u < kThreadChunks; ++u) rows[u / 4][u % 4] = s.keys[u * kScoreThreads + tid];
    float scores[4];
    score_tile(scores, rows[0], rows[1], q);
    if (t == 0) {
      s.scores[warp * kTileKeys + g] = {scores[0], scores[1]};
      s.scores[warp * kTileKeys + g + 8] = {scores[2], scores[3]};
    }
  }

  __device__ __forceinline__ void attend(const Layer& layer, int unit) {
    const int part = unit / a.paged.kv_heads, kv_head = unit % a.paged.kv_heads, head0 = kv_head * kHeads;
    const int parts = (visible + kPart - 1) / kPart, count = min(visible - part * kPart, kPart);
    bf16_t* attended = places->attended + head0 * kDim;
    if (visible <= 0) {
      hand_over(attended + tid, 0);
      return;
    }
    const bool has_current = current >= 0 && current / kPart == part;
    take_own(layer, kv_head, has_current ? current % kPart : -1);
    half_barrier();
    if (warp < kTiles) score();
    half_barrier();
    float scores[kTiles][4];
#pragma unroll
    for (int i = 0; i < kTiles; ++i) {
#pragma unroll
      for (int r = 0; r < 2; ++r) {
        const float2 both = s.scores[i * kTileKeys + 8 * r + g];
        scores[i][2 * r] = both.x;
        scores[i][2 * r + 1] = both.y;
      }
    }
    const PartWeights w = weigh(scores, count, a.paged.scale, g, t);
    float sums[4] = {};
#pragma unroll
    for (int i = 0; i < kTiles; ++i) {
      std::uint32_t values[4];
      load_matrices_transposed(values, shared_address(value_at(i * kTileKeys + lane / 16 * 8 + lane % 8,
                                                               2 * warp + lane / 8 % 2)));
      mma(sums, values, w.pieces[i][0], w.pieces[i][1]);
    }
    const float sum = sum_of_pieces(sums, t);
    const int h = t % 2, d = warp * 16 + g + t / 2 * 8;
    const float largest = h == 0 ? w.largest[0] : w.largest[1], total = h == 0 ? w.total[0] : w.total[1];
    if (parts == 1) {
      Joined joined;
      joined.add([&](int p) { return p == 0 ? largest : -INFINITY; },
                 [&](int p) { return p == 0 ? total : 0; }, [&](int p) { return p == 0 ? sum : 0; });
      hand_over(attended + h * kDim + d, joined.result());
      return;
    }
    const auto records_of = [&](int head) {
      return a.partial + (std::int64_t{head0} + head) * a.parts * kRecord;
    };
    float* record = records_of(h) + part * kRecord;
    record[2 + d] = sum;
    if (d == 0) {
      record[0] = largest;
      record[1] = total;
    }
    // The last block of these heads adds up.
    __threadfence();
    half_barrier();
    // Which makes the counter 0 again.
    if (tid == 0) s.last = atomicInc(a.counters + kv_head, parts - 1) == static_cast<unsigned>(parts) - 1;
    half_barrier();
    if (!s.last) return;
    __threadfence();
    hand_over(attended + tid, joined_records(records_of(tid / kDim), kRecord, parts, tid % kDim));
  }
};

#endif

__global__ void __launch_bounds__(kThreads + 32, 1)
    decoder_row_kernel([[maybe_unused]] const __grid_constant__ RowArguments a) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  extern __shared__ __align__(128) std::byte memory[];
  Shared& shared = *reinterpret_cast<Shared*>(memory);
  if (threadIdx.x == 0) {
    for (int i = 0; i < kStages; ++i) {
      for (int piece = 0; piece < kPieces; ++piece) init_barrier(shared_address(&shared.full[i][piece]), 1);
      init_barrier(shared_address(shared.empty + i), kWarps);
    }
    publish_barriers();
  }
  __syncthreads();
  if (threadIdx.x >= kThreads) {
    WeightReader(a, shared).run();
  } else {
    DecoderRow(a, shared).run();
  }
#endif
}

}  // namespace

void run_row(Context& context, const RowArguments& a, unsigned grid) {
  launch(context, "decoder_layers", decoder_row_kernel, grid, kThreads + 32, sizeof(Shared), a);
}

std::size_t shared_bytes() { return sizeof(Shared); }

}  // namespace glmocr::cuda::decoder
