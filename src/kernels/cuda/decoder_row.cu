// SPDX-License-Identifier: Apache-2.0
#include "kernels/cuda/decoder_layers.cuh"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/mma.cuh"

// All layers of a decoder for one row, in one launch. Bound by memory: weights are read once, and those of the next product
// are under way while blocks wait for each other, so that reading goes on. Every sum has the order of the kernels that compute
// the operations one by one (linear_few.cu, attention_few.cu, norm.cu): the bits are the same.
namespace glmocr::cuda::decoder {
namespace {

struct Shared {
  uint4 staged[2 * kKeysPerGroup * kHalf];  // keys and values, each thread its own
  float norm_weights[2 * Norm::kMostWidth];
  float sums[kHalf / 32][kHeads][kDim];
  float partial[2][kWarps][17];
  float scores[kHeads][kPart], largest[kHeads], total[kHeads];
  uint4 residual[kHalf];  // x, in every block, each thread its own
  float reduced[32];
  int last;
  alignas(16) bf16_t row[kLongTerms];  // that of the product
};

class DecoderRow : WeightTiles {
 public:
  __device__ __forceinline__ DecoderRow(const RowArguments& arguments, Shared& shared)
      : WeightTiles(arguments), s(shared) {}

  __device__ __forceinline__ void run() {
    load_qkv(0);  // weights do not change: no need to wait for them
    wait_for_previous();
    begin();
    for (int index = 0; index < a.layer_count; ++index) {
      const Layer& layer = a.layers[index];
      if (index > 0) take_norm<1>();
      product<8, false>(
          a.qkv, a.hidden, a.q_out + 2 * a.kv_out, group8(), 2, nullptr,
          [&](int feature) { return qkv_row(layer, feature); }, a.projected);
      arrive();
      fetch_norms(layer.attention_norm, layer.mlp_input_norm);
      attention_and_o(layer);
      take_norm<0>();
      const auto gate_row = [&](int feature) { return layer.gate + std::int64_t{feature} * a.hidden; };
      product<8, true>(a.gated, a.hidden, a.inner, group8(), 2, layer.up, gate_row, a.activated);
      arrive();
      const auto down_row = [&](int feature) { return layer.down + std::int64_t{feature} * a.inner; };
      load_tile<16>(a.down, a.inner, a.hidden, 0, nullptr, down_row);
      wait();
      take_row(a.activated, a.inner);
      if (index + 1 == a.layer_count) let_next_start();
      product<16, false>(a.down, a.inner, a.hidden, 0, 1, nullptr, down_row, a.y);
      arrive();
      fetch_norms(layer.mlp_norm, layer.next_norm);
      if (index + 1 == a.layer_count) break;
      fetch_keys(a.layers[index + 1], blockIdx.x);
      load_qkv(index + 1);
    }
    finish();
  }

  // Half of the warps compute attention while the others have the weights of the product that follows: then the registers of
  // these are free there. All meet at the same barriers.
  __device__ __forceinline__ void attention_and_o(const Layer& layer) {
    const auto o_row = [&](int feature) { return layer.o + std::int64_t{feature} * a.q_out; };
    const auto gate_row = [&](int feature) { return layer.gate + std::int64_t{feature} * a.hidden; };
    if (warp < 8) {
      wait();
      attention(layer);
      arrive();
      load_tile<8>(a.gated, a.hidden, a.inner, 0, layer.up, gate_row);
      wait();
      take_row(a.attended, a.q_out);
      arrive();
    } else {
      load_tile<8>(a.o, a.q_out, a.hidden, 0, nullptr, o_row);
      wait();
      arrive();
      wait();
      take_row(a.attended, a.q_out);
      product<8, false>(a.o, a.q_out, a.hidden, 0, 1, nullptr, o_row, a.y);
      arrive();
      load_tile<8>(a.gated, a.hidden, a.inner, 1, layer.up, gate_row);
    }
  }

 private:
  Shared& s;
  int barriers = 0;  // that this block has arrived at
  int visible = 0;   // keys that the row sees
  int current = -1;  // the one whose key and value this step computes
  std::int64_t slot = -1;
  bool gave_up = false;

  // Of all threads, from wherever they come.
  __device__ __forceinline__ void block_barrier() const { asm volatile("bar.sync 0;" ::: "memory"); }
  // All blocks have done what is before arrive() when wait() returns.
  __device__ __forceinline__ void arrive() {
    block_barrier();
    ++barriers;
    if (tid == 0) asm volatile("red.release.gpu.global.add.s32 [%0], 1;" ::"l"(a.barrier) : "memory");
  }
  __device__ __forceinline__ void wait() {
    if (tid == 0 && !gave_up && !wait_for_count(a.barrier, barriers * static_cast<int>(gridDim.x))) {
      gave_up = true;
      *a.bad_index = 2;
    }
    block_barrier();
  }

  __device__ __forceinline__ void begin() {
    const int first = a.paged.row_starts[0], end = a.paged.row_starts[1];
    if (first <= 0 && end > 0) visible = a.paged.context_lens[0] - end + 1;
    slot = a.slots[0];
    if (slot < -1 || slot >= a.slot_count) {
      *a.bad_index = 1;
      slot = -1;
    }
    if (slot >= 0) current = visible - 1;
    fetch_keys(a.layers[0], blockIdx.x);
    if (tid < kHalf && tid * 8 < a.hidden) {
      s.residual[tid] = *reinterpret_cast<const uint4*>(a.x + tid * 8);
    }
    take_row(a.h, a.hidden);
  }

  // The last norm: by one block, when the others have no more to read.
  __device__ __forceinline__ void finish() {
    if (blockIdx.x != 0) return;
    wait();
    if (tid == 0) *a.barrier = 0;
    if (tid < kHalf) add_norm<0>(a.h, a.x);
  }

  __device__ __forceinline__ void take_row(const bf16_t* from, int width) {
    for (int i = tid * 8; i < width; i += kThreads * 8) {
      *reinterpret_cast<uint4*>(s.row + i) = __ldcg(reinterpret_cast<const uint4*>(from + i));
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
  // `to` gets the norm of the residual stream, and `x` the stream where it is given.
  template <int kPending>
  __device__ __forceinline__ void add_norm(bf16_t* to, bf16_t* x) {
    Norm norm;
    norm.width = a.hidden;
    Pack<bf16_t, 8> y[1];
    y[0] = {};
    norm.for_packs([&](int p) {
      y[p] = load_shared_pack<bf16_t, 8>(a.y + norm.column(p));
      norm.sum[p] = *reinterpret_cast<const Pack<bf16_t, 8>*>(&s.residual[tid]);
    });
    norm.template compute<kPending>(y, s.norm_weights, a.eps, s.reduced);
    norm.for_packs([&](int p) { *reinterpret_cast<Pack<bf16_t, 8>*>(&s.residual[tid]) = norm.sum[p]; });
    norm.store(to, norm.result);
    if (x) norm.store(x, norm.sum);
  }
  // Waits for y; the row of the product becomes its norm.
  template <int kPending>
  __device__ __forceinline__ void take_norm() {
    wait();
    if (tid < kHalf) add_norm<kPending>(s.row, nullptr);
    block_barrier();
  }

  // --- products

  // The tiles first, first + step, … of this block, by groups of kParts warps; the weights of the first one have been
  // loaded. With `up` the result is gated (Product::gated).
  template <int kParts, bool kGated, class RowOf>
  __device__ __forceinline__ void product(const Split& split, int in, int out, int first, int step,
                                          const bf16_t* up, const RowOf& row_of, bf16_t* to) {
    constexpr int kGroupThreads = 32 * kParts;
    const int group = warp / kParts;
    int buffer = 0;
    for (int index = first; index < split.tiles; index += step) {
      const Tile tile = tile_of<kParts>(split, in, out, index);
      const Tile next = tile_of<kParts>(split, in, out, index + step);
      const bf16_t* rows[2];
      rows_of(next, up, in, row_of, rows);
      float sums[4] = {};
#pragma unroll
      for (int u = 0; u < kSteps<kParts>; ++u) {
        if (tile.first_step + u < tile.last_step) {
          // Only the first column of the right operand is a row.
          const uint4 x = g == 0
                              ? *reinterpret_cast<const uint4*>(s.row + (tile.first_step + u) * kStep + 8 * t)
                              : uint4{};
          const uint4 one = w[u][0], other = w[u][1];
          mma(sums, {one.x, other.x, one.y, other.y}, x.x, x.y);
          mma(sums, {one.z, other.z, one.w, other.w}, x.z, x.w);
        }
        load_step(u, next.first_step + u, next.last_step, rows);
      }
      if (t == 0) {
        s.partial[buffer][warp][g] = sums[0];
        s.partial[buffer][warp][g + 8] = sums[2];
      }
      // The other buffer is free when all have come here again.
      asm volatile("bar.sync %0, %1;" ::"r"(kGroupBarrier + group), "n"(kGroupThreads) : "memory");
      const int i = tid % kGroupThreads, feature = tile.feature + i;
      if (i < split.width && feature < tile.end) {
        const auto sum_of = [&](int column) {
          float sum = 0;
#pragma unroll
          for (int part = 0; part < kParts; ++part) sum += s.partial[buffer][group * kParts + part][column];
          return sum;
        };
        if constexpr (kGated) {
          to[feature] = from_float<bf16_t>(Bf16Product::gated(sum_of(i), sum_of(i + 8)));
        } else {
          to[feature] = from_float<bf16_t>(sum_of(i));
        }
      }
      buffer ^= 1;
    }
  }

  // --- attention: a unit is a part of the context for the query heads of a kv head

  __device__ __forceinline__ int unit_count() const {
    return max((visible + kPart - 1) / kPart, 1) * a.paged.kv_heads;
  }
  __device__ __forceinline__ void fetch_keys(const Layer& layer, int unit) {
    if (tid >= kHalf) return;
    const int part = unit / a.paged.kv_heads, kv_head = unit % a.paged.kv_heads;
#pragma unroll
    for (int u = 0; u < kKeysPerGroup; ++u) {
      const int token = part * kPart + tid / kLanes + u * kGroups;
      const bool valid = token < visible && token != current;
      std::int64_t from = 0;
      if (valid) {
        const int of = a.paged.page_of(token), page = a.paged.page_table[min(of, a.paged.pages - 1)];
        from = a.paged.offset(page, kv_head, token - of * a.paged.page_size) + tid % kLanes * 8;
      }
      copy_16(shared_address(s.staged + u * kHalf + tid), layer.keys + from, valid);
      copy_16(shared_address(s.staged + (kKeysPerGroup + u) * kHalf + tid), layer.values + from, valid);
    }
    commit_copies();
  }
  __device__ __forceinline__ Pack<bf16_t, 8> fetched(int which, int u) const {
    return *reinterpret_cast<const Pack<bf16_t, 8>*>(s.staged + (which * kKeysPerGroup + u) * kHalf + tid);
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

  __device__ __forceinline__ void attend(const Layer& layer, int unit) {
    const int part = unit / a.paged.kv_heads, kv_head = unit % a.paged.kv_heads, head0 = kv_head * kHeads;
    const int parts = (visible + kPart - 1) / kPart, count = min(visible - part * kPart, kPart);
    const int l = tid % kLanes, group = tid / kLanes;
    bf16_t* attended = a.attended + head0 * kDim;
    if (visible <= 0) {
      if (tid < kHeads * kDim) attended[tid] = from_float<bf16_t>(0);
      return;
    }
    const auto cosines = *reinterpret_cast<const Pack<float, 4>*>(a.table + 4 * l);
    const auto sines = *reinterpret_cast<const Pack<float, 4>*>(a.table + a.sines_at + 4 * l);
    float q[kHeads][8];
    load_queries(q, a.projected + head0 * kDim, l, cosines, sines);
    const bool own = current / kPart == part && current >= 0 && current % kGroups == group;
    Pack<bf16_t, 8> own_key{}, own_value{};
    if (own) {
      const bf16_t* from = a.projected + a.q_out + kv_head * kDim + 8 * l;
      own_key = turned(load_shared_pack<bf16_t, 8>(from), cosines, sines);
      own_value = load_shared_pack<bf16_t, 8>(from + a.kv_out);
      const std::int64_t page = slot / a.paged.page_size, at = slot % a.paged.page_size;
      const std::int64_t place =
          ((page * a.paged.kv_heads + kv_head) * a.paged.page_size + at) * kDim + 8 * l;
      *reinterpret_cast<Pack<bf16_t, 8>*>(layer.keys + place) = own_key;
      *reinterpret_cast<Pack<bf16_t, 8>*>(layer.values + place) = own_value;
    }
    const auto is_own = [&](int key) { return own && part * kPart + key == current; };
    score_keys(s.scores, q, group, l, count, a.paged.scale,
               [&](int u, int key) { return is_own(key) ? own_key : fetched(0, u); });
    half_barrier();
    if (warp < kHeads) weigh_part(s.scores[warp], &s.largest[warp], &s.total[warp], lane);
    half_barrier();
    add_values(s.sums[warp], s.scores, group, l, count,
               [&](int u, int key) { return is_own(key) ? own_value : fetched(1, u); });
    half_barrier();
    static_assert(kHeads * kDim == kHalf);
    const int h = tid / kDim, d = tid % kDim;
    float sum = 0;
#pragma unroll
    for (int i = 0; i < kHalf / 32; ++i) sum += s.sums[i][h][d];
    if (parts == 1) {
      Joined joined;
      joined.add([&](int p) { return p == 0 ? s.largest[h] : -INFINITY; },
                 [&](int p) { return p == 0 ? s.total[h] : 0; }, [&](int p) { return p == 0 ? sum : 0; });
      attended[tid] = from_float<bf16_t>(joined.result());
      return;
    }
    float* records = a.partial + (std::int64_t{head0} + h) * a.parts * kRecord;
    float* record = records + part * kRecord;
    record[2 + d] = sum;
    if (d == 0) {
      record[0] = s.largest[h];
      record[1] = s.total[h];
    }
    // The last block of these heads adds up.
    __threadfence();
    half_barrier();
    if (tid == 0) s.last = atomicAdd(a.counters + kv_head, 1) == parts - 1;
    half_barrier();
    if (!s.last) return;
    __threadfence();
    attended[tid] = from_float<bf16_t>(joined_records(records, kRecord, parts, d));
    if (tid == 0) a.counters[kv_head] = 0;
  }
};

__global__ void __launch_bounds__(kThreads, 1) decoder_row_kernel(const __grid_constant__ RowArguments a) {
  extern __shared__ __align__(128) std::byte memory[];
  DecoderRow(a, *reinterpret_cast<Shared*>(memory)).run();
}

}  // namespace

void run_row(Context& context, const RowArguments& a, unsigned grid) {
  launch(context, "decoder_layers", decoder_row_kernel, grid, kThreads, sizeof(Shared), a);
}

}  // namespace glmocr::cuda::decoder
