// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "base/numbers.h"
#include "kernels/cuda/decoder_layers.cuh"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/mma.cuh"

// All layers of a decoder for some rows, each of a sequence of its own, in one launch: as decoder_row.cu. A block has the rows
// of a product in shared memory and goes through its tiles of features; attention has two units in a block at a time; a norm
// is computed by the block of its row.
namespace glmocr::cuda::decoder {
namespace {

// Of one part of the context: keys and values that are under way, each thread its own.
constexpr int kStages = 2, kStageChunks = 2 * kKeysPerGroup * kHalf;
constexpr int kSumStride = 17;
constexpr int kPiece = 3, kPieceTerms = kPiece * kStep;  // of a long row: steps that a warp copies at once

// What each half of a block needs for attention.
struct HalfShared {
  uint4 staged[kStages * kStageChunks];
  float sums[kHalf / 32][kHeads][kDim];
  float values[Joined::kAtOnce][kHalf];  // of parts
  float scores[kHeads][kPart], largest[Joined::kAtOnce][kHeads], total[Joined::kAtOnce][kHeads];
  int last;
};

template <int kRows>
struct RowsShared {
  static constexpr int kPartial = 8 * kRows * 8 * kSumStride;  // of a group of eight warps
  static constexpr std::size_t kShortBytes =
      std::size_t{kRows * 8} * (kShortTerms + kStep) * sizeof(bf16_t) + 2 * 2 * kPartial * sizeof(float);
  static constexpr std::size_t kLongBytes =
      std::size_t{kWarps} * 2 * kRows * 8 * kPieceTerms * sizeof(bf16_t);
  static constexpr std::size_t kBytes = std::max({kShortBytes, kLongBytes, 2 * sizeof(HalfShared)});
  static_assert(kWarps * kRows * 8 * kSumStride * sizeof(float) <= kBytes);

  // Rows of a product and its sums, or pieces of long rows, or attention.
  alignas(128) std::byte memory[kBytes];
  float norm_weights[2 * Norm::kMostWidth];
  uint4 residual[kHalf];  // of the row that this block has, each thread its own
  float reduced[32];
  int sequence[kRows * 8], visible[kRows * 8], slot[kRows * 8];
};

template <int kRows>
class DecoderBlockOfRows : WeightTiles {
 public:
  using Shared = RowsShared<kRows>;
  __device__ __forceinline__ DecoderBlockOfRows(const RowArguments& arguments, Shared& shared)
      : WeightTiles(arguments), s(shared) {}

  __device__ __forceinline__ void run() {
    load_qkv(0);  // weights do not change: no need to wait for them
    wait_for_previous();
    begin();
    for (int index = 0; index < a.layer_count; ++index) {
      const Layer& layer = a.layers[index];
      const int qkv_out = a.q_out + 2 * a.kv_out;
      if (index > 0) pass_norm();
      take_rows(a.h, a.hidden);
      product<false>(
          a.qkv, a.hidden, qkv_out, nullptr, [&](int feature) { return qkv_row(layer, feature); },
          a.projected);
      arrive();
      fetch_norms(layer.attention_norm, layer.mlp_input_norm);
      Unit unit = unit_of(blockIdx.x * 2 + half);
      begin_keys(layer, unit);
      wait();
      attention(layer, unit);
      const auto o_row = [&](int feature) { return layer.o + std::int64_t{feature} * a.q_out; };
      arrive();
      load_tile<8>(a.o, a.q_out, a.hidden, group8(), nullptr, o_row);
      wait();
      take_rows(a.attended, a.q_out);
      product<false>(a.o, a.q_out, a.hidden, nullptr, o_row, a.y);
      arrive();
      const auto gate_row = [&](int feature) { return layer.gate + std::int64_t{feature} * a.hidden; };
      load_tile<8>(a.gated, a.hidden, a.inner, group8(), layer.up, gate_row);
      pass_norm();
      take_rows(a.h, a.hidden);
      product<true>(a.gated, a.hidden, a.inner, layer.up, gate_row, a.activated);
      arrive();
      const auto down_row = [&](int feature) { return layer.down + std::int64_t{feature} * a.inner; };
      load_tile<16>(a.down, a.inner, a.hidden, 0, nullptr, down_row);
      wait();
      if (index + 1 == a.layer_count) let_next_start();
      long_product(a.down, a.inner, a.hidden, a.y);
      arrive();
      fetch_norms(layer.mlp_norm, layer.next_norm);
      if (index + 1 < a.layer_count) load_qkv(index + 1);
    }
    finish();
  }

 private:
  Shared& s;
  const int half = tid / kHalf, half_tid = tid % kHalf;
  int barriers = 0;  // that this block has arrived at
  int norms = 0;     // that all rows have got
  bool gave_up = false;

  __device__ __forceinline__ bool has_row() const { return static_cast<int>(blockIdx.x) < a.rows; }
  __device__ __forceinline__ bf16_t* row_of(bf16_t* matrix, std::int64_t stride) const {
    return matrix + blockIdx.x * stride;
  }

  // --- blocks wait for each other

  __device__ __forceinline__ void signal(std::int32_t* counter) const {
    if (tid == 0) asm volatile("red.release.gpu.global.add.s32 [%0], 1;" ::"l"(counter) : "memory");
  }
  __device__ __forceinline__ void wait_until(const std::int32_t* counter, int wanted) {
    if (tid == 0 && !gave_up && !wait_for_count(counter, wanted)) {
      gave_up = true;
      *a.bad_index = 2;
    }
    __syncthreads();
  }
  // All blocks have done what is before arrive() when wait() returns.
  __device__ __forceinline__ void arrive() {
    __syncthreads();
    ++barriers;
    signal(a.barrier);
  }
  __device__ __forceinline__ void wait() { wait_until(a.barrier, barriers * static_cast<int>(gridDim.x)); }

  __device__ __forceinline__ void begin() {
    if (tid < kRows * 8) {
      const int row = tid < a.rows ? a.first_row + tid : -1;
      int sequence = -1, visible = 0, slot = -1;
      if (row >= 0) {
        const PagedAttention<bf16_t>& p = a.paged;
        const auto has = [&](int i) { return p.row_starts[i] <= row && row < p.row_starts[i + 1]; };
        // Mostly row i is that of sequence i.
        if (row < p.sequences && has(row)) {
          sequence = row;
        } else {
          for (int i = 0; i < p.sequences; ++i) {
            if (has(i)) sequence = i;
          }
        }
        if (sequence >= 0) visible = p.context_lens[sequence] - p.row_starts[sequence + 1] + row + 1;
        slot = a.slots[row];
        if (slot < -1 || slot >= a.slot_count) {
          *a.bad_index = 1;
          slot = -1;
        }
      }
      s.sequence[tid] = sequence;
      s.visible[tid] = visible;
      s.slot[tid] = slot;
    }
    if (has_row() && half == 0 && tid * 8 < a.hidden) {
      s.residual[tid] = *reinterpret_cast<const uint4*>(row_of(a.x, a.x_stride) + tid * 8);
    }
    __syncthreads();
  }

  // --- norms

  __device__ __forceinline__ void fetch_norms(const float* weight, const float* next) {
    if (!has_row() || half != 0) return;
    Norm norm;
    norm.width = a.hidden;
    norm.fetch_weights(s.norm_weights, weight, next);
  }
  // The residual stream is written only at the end.
  __device__ __forceinline__ void add_norm(bool write_residual) {
    Norm norm;
    norm.width = a.hidden;
    Pack<bf16_t, 8> y[1];
    y[0] = {};
    norm.for_packs([&](int p) {
      y[p] = load_shared_pack<bf16_t, 8>(row_of(a.y, a.hidden) + norm.column(p));
      norm.sum[p] = *reinterpret_cast<const Pack<bf16_t, 8>*>(&s.residual[tid]);
    });
    norm.template compute<0>(y, s.norm_weights, a.eps, s.reduced);
    norm.for_packs([&](int p) { *reinterpret_cast<Pack<bf16_t, 8>*>(&s.residual[tid]) = norm.sum[p]; });
    norm.store(row_of(a.h, a.h_stride), norm.result);
    if (write_residual) norm.store(row_of(a.x, a.x_stride), norm.sum);
  }
  // The rows of h become the norms of x + norm(y), when y is complete.
  __device__ __forceinline__ void pass_norm() {
    if (has_row()) {
      wait();
      if (half == 0) add_norm(false);
      __syncthreads();
      signal(a.norms);
    }
    ++norms;
    wait_until(a.norms, norms * a.rows);
  }
  __device__ __forceinline__ void finish() {
    if (!has_row()) return;
    wait();
    if (half == 0) add_norm(true);
    __syncthreads();
    // The last one leaves zeros: nobody reads the counters any more.
    if (tid == 0 && atomicAdd(a.norms, 1) == (norms + 1) * a.rows - 1) {
      *a.norms = 0;
      *a.barrier = 0;
    }
  }

  // --- products

  __device__ __forceinline__ bf16_t* rows() const { return reinterpret_cast<bf16_t*>(s.memory); }
  // Eight rows at one column lie in different banks, in steps of 64 bytes.
  __device__ __forceinline__ static int stride_of(int in) {
    return (in + kStep) / (2 * kStep) * (2 * kStep) + kStep;
  }

  __device__ __forceinline__ void take_rows(const bf16_t* from, int width) {
    const int chunks = width / 8, stride = stride_of(width);
    const std::int64_t from_stride = from == a.h ? a.h_stride : width;
    for (int i = tid; i < kRows * 8 * chunks; i += kThreads) {
      const int row = i / chunks, k = i % chunks * 8;
      const bool valid = row < a.rows;
      copy_16(shared_address(rows() + row * stride + k), valid ? from + row * from_stride + k : from, valid);
    }
    commit_copies();
    wait_for_copies<0>();
    __syncthreads();
  }

  __device__ __forceinline__ void multiply(float (&sums)[kRows][4], int u, const bf16_t* x,
                                           int stride) const {
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      const uint4 terms = *reinterpret_cast<const uint4*>(x + (8 * r + g) * stride + 8 * t);
      const uint4 one = w[u][0], other = w[u][1];
      mma(sums[r], {one.x, other.x, one.y, other.y}, terms.x, terms.y);
      mma(sums[r], {one.z, other.z, one.w, other.w}, terms.z, terms.w);
    }
  }
  __device__ __forceinline__ void store_sums(float* to, const float (&sums)[kRows][4]) const {
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
#pragma unroll
      for (int i = 0; i < 4; ++i) to[(8 * r + 2 * t + i % 2) * kSumStride + g + i / 2 * 8] = sums[r][i];
    }
  }
  // Results from the sums of kParts warps, added in order.
  template <int kParts, bool kGated>
  __device__ __forceinline__ void write_results(const float* partial, const Split& split, const Tile& tile,
                                                int out, bf16_t* to) const {
    constexpr int kGroupThreads = 32 * kParts;
    for (int i = tid % kGroupThreads; i < a.rows * split.width; i += kGroupThreads) {
      const int column = i % split.width, row = i / split.width, feature = tile.feature + column;
      if (feature >= tile.end) continue;
      const auto sum_of = [&](int at) {
        float sum = 0;
#pragma unroll
        for (int part = 0; part < kParts; ++part) sum += partial[(part * kRows * 8 + row) * kSumStride + at];
        return sum;
      };
      float result;
      if constexpr (kGated) {
        result = Bf16Product::gated(sum_of(column), sum_of(column + 8));
      } else {
        result = sum_of(column);
      }
      to[std::int64_t{row} * out + feature] = from_float<bf16_t>(result);
    }
  }

  // The tiles of this block, by groups of eight warps in turn; the weights of the first ones have been loaded.
  template <bool kGated, class RowOf>
  __device__ __forceinline__ void product(const Split& split, int in, int out, const bf16_t* up,
                                          const RowOf& row_of, bf16_t* to) {
    const int stride = stride_of(in), group = group8();
    float* sums_of_group =
        reinterpret_cast<float*>(s.memory + std::size_t{kRows * 8} * stride * sizeof(bf16_t)) +
        group * 2 * Shared::kPartial;
    int buffer = 0;
    for (int index = group; index < split.tiles; index += 2) {
      const Tile tile = tile_of<8>(split, in, out, index), next = tile_of<8>(split, in, out, index + 2);
      const bf16_t* two[2];
      rows_of(next, up, in, row_of, two);
      float sums[kRows][4] = {};
#pragma unroll
      for (int u = 0; u < kSteps<8>; ++u) {
        if (tile.first_step + u < tile.last_step)
          multiply(sums, u, rows() + (tile.first_step + u) * kStep, stride);
        load_step(u, next.first_step + u, next.last_step, two);
      }
      float* partial = sums_of_group + buffer * Shared::kPartial;
      store_sums(partial + warp % 8 * kRows * 8 * kSumStride, sums);
      // The other buffer is free when all have come here again.
      half_barrier();
      write_results<8, kGated>(partial, split, tile, out, to);
      buffer ^= 1;
    }
  }

  // y from `activated`, whose rows do not fit into shared memory: each warp copies its terms of all rows there piece by piece.
  __device__ __forceinline__ void long_product(const Split& split, int in, int out, bf16_t* to) {
    const Tile tile = tile_of<16>(split, in, out, 0);
    bf16_t* own = rows() + warp * 2 * kRows * 8 * kPieceTerms;
    const auto fetch = [&](int piece) {
      constexpr int kChunks = kPieceTerms / 8;
      bf16_t* at = own + piece % 2 * kRows * 8 * kPieceTerms;
      for (int i = lane; i < kRows * 8 * kChunks; i += 32) {
        const int row = i / kChunks, k = (tile.first_step + piece * kPiece) * kStep + i % kChunks * 8;
        const bool valid = row < a.rows && k < tile.last_step * kStep;
        copy_16(shared_address(at + i * 8), valid ? a.activated + std::int64_t{row} * in + k : a.activated,
                valid);
      }
      commit_copies();
    };
    fetch(0);
    float sums[kRows][4] = {};
#pragma unroll
    for (int piece = 0; piece < kLongSteps / kPiece; ++piece) {
      fetch(piece + 1);  // nothing behind the last one
      wait_for_copies<1>();
      __syncwarp();
      const bf16_t* at = own + piece % 2 * kRows * 8 * kPieceTerms;
#pragma unroll
      for (int v = 0; v < kPiece; ++v) {
        const int u = piece * kPiece + v;
        if (tile.first_step + u < tile.last_step) multiply(sums, u, at + v * kStep, kPieceTerms);
      }
      __syncwarp();
    }
    wait_for_copies<0>();
    __syncthreads();  // the pieces have been read
    float* partial = reinterpret_cast<float*>(s.memory);
    store_sums(partial + warp * kRows * 8 * kSumStride, sums);
    __syncthreads();
    write_results<16, false>(partial, split, tile, out, to);
  }

  // --- attention: a unit is some parts of the context of a row for the query heads of a kv head

  struct Unit {
    int row = -1, kv_head = 0, first = 0, end = 0, parts = 0;  // parts [first, end) of the row's
  };
  __device__ __forceinline__ HalfShared& mine() const {
    return reinterpret_cast<HalfShared*>(s.memory)[half];
  }
  __device__ __forceinline__ void half_barrier() const {
    asm volatile("bar.sync %0, %1;" ::"r"(kHalfBarrier + half), "n"(kHalf) : "memory");
  }
  __device__ __forceinline__ int unit_count() const { return a.rows * a.paged.kv_heads * a.ranges; }
  __device__ __forceinline__ Unit unit_of(int index) const {
    Unit unit;
    if (index >= unit_count()) return unit;
    unit.kv_head = index % a.paged.kv_heads;
    const int rest = index / a.paged.kv_heads;
    unit.row = rest % a.rows;
    unit.parts = (s.visible[unit.row] + kPart - 1) / kPart;
    unit.first = rest / a.rows * a.parts_of_range;
    unit.end = min(unit.first + a.parts_of_range, unit.parts);
    return unit;
  }
  __device__ __forceinline__ int current_of(const Unit& unit) const {
    return s.slot[unit.row] >= 0 ? s.visible[unit.row] - 1 : -1;
  }
  __device__ __forceinline__ void fetch_keys(const Layer& layer, const Unit& unit, int part) const {
    if (unit.row >= 0 && part < unit.end) {
      const int visible = s.visible[unit.row], current = current_of(unit);
      const std::int32_t* table = a.paged.page_table + s.sequence[unit.row] * a.paged.table_row;
      uint4* to = mine().staged + part % kStages * kStageChunks + half_tid;
#pragma unroll
      for (int u = 0; u < kKeysPerGroup; ++u) {
        const int token = part * kPart + half_tid / kLanes + u * kGroups;
        const bool valid = token < visible && token != current;
        std::int64_t from = 0;
        if (valid) {
          const int of = a.paged.page_of(token), page = table[min(of, a.paged.pages - 1)];
          from = a.paged.offset(page, unit.kv_head, token - of * a.paged.page_size) + half_tid % kLanes * 8;
        }
        copy_16(shared_address(to + u * kHalf), layer.keys + from, valid);
        copy_16(shared_address(to + (kKeysPerGroup + u) * kHalf), layer.values + from, valid);
      }
    }
    commit_copies();
  }
  __device__ __forceinline__ void begin_keys(const Layer& layer, const Unit& unit) const {
    fetch_keys(layer, unit, unit.first);
    fetch_keys(layer, unit, unit.first + 1);
  }
  __device__ __forceinline__ Pack<bf16_t, 8> fetched(int part, int which, int u) const {
    const uint4* from = mine().staged + part % kStages * kStageChunks;
    return *reinterpret_cast<const Pack<bf16_t, 8>*>(from + (which * kKeysPerGroup + u) * kHalf + half_tid);
  }

  // The keys of the first unit are under way.
  __device__ __forceinline__ void attention(const Layer& layer, Unit unit) {
    const int step = 2 * static_cast<int>(gridDim.x);
    for (int index = blockIdx.x * 2 + half; index < unit_count(); index += step) {
      if (index >= step) {
        unit = unit_of(index);
        wait_for_copies<0>();
        begin_keys(layer, unit);
      }
      attend(layer, unit);
    }
    wait_for_copies<0>();
  }

  __device__ __forceinline__ void attend(const Layer& layer, const Unit& unit) {
    const int head0 = unit.kv_head * kHeads, qkv_out = a.q_out + 2 * a.kv_out;
    const int visible = s.visible[unit.row], current = current_of(unit);
    const int l = half_tid % kLanes, group = half_tid / kLanes, own_warp = half_tid / 32;
    const int h = half_tid / kDim, d = half_tid % kDim;
    HalfShared& m = mine();
    bf16_t* attended = a.attended + std::int64_t{unit.row} * a.q_out + head0 * kDim;
    if (visible <= 0) {
      if (unit.first == 0) attended[half_tid] = from_float<bf16_t>(0);
      return;
    }
    if (unit.first >= unit.parts) return;
    const bool whole = unit.parts <= a.parts_of_range;
    const bf16_t* projected = a.projected + std::int64_t{unit.row} * qkv_out;
    const float* table = a.table + (a.first_row + unit.row) * (kDim / 2) + 4 * l;
    const auto cosines = *reinterpret_cast<const Pack<float, 4>*>(table);
    const auto sines = *reinterpret_cast<const Pack<float, 4>*>(table + a.sines_at);
    float q[kHeads][8];
    load_queries(q, projected + head0 * kDim, l, cosines, sines);
    float* records =
        a.partial + (std::int64_t{unit.row} * kHeads * a.paged.kv_heads + head0 + h) * a.parts * kRecord;
    Joined joined;
    for (int part = unit.first; part < unit.end; ++part) {
      const int count = min(visible - part * kPart, kPart), slot = part % Joined::kAtOnce;
      const bool more = part + 1 < unit.end;
      const bool own = current >= 0 && current / kPart == part && current % kGroups == group;
      Pack<bf16_t, 8> own_key{}, own_value{};
      if (own) {
        const bf16_t* from = projected + a.q_out + unit.kv_head * kDim + 8 * l;
        own_key = turned(load_shared_pack<bf16_t, 8>(from), cosines, sines);
        own_value = load_shared_pack<bf16_t, 8>(from + a.kv_out);
        const int page = s.slot[unit.row] / a.paged.page_size;
        const std::int64_t place =
            a.paged.offset(page, unit.kv_head, s.slot[unit.row] - page * a.paged.page_size) + 8 * l;
        *reinterpret_cast<Pack<bf16_t, 8>*>(layer.keys + place) = own_key;
        *reinterpret_cast<Pack<bf16_t, 8>*>(layer.values + place) = own_value;
      }
      wait_for_copies<kStages - 1>();
      const auto is_own = [&](int key) { return own && part * kPart + key == current; };
      score_keys(m.scores, q, group, l, count, a.paged.scale,
                 [&](int u, int key) { return is_own(key) ? own_key : fetched(part, 0, u); });
      half_barrier();
      if (own_warp < kHeads) {
        weigh_part(m.scores[own_warp], &m.largest[slot][own_warp], &m.total[slot][own_warp], lane);
      }
      half_barrier();
      add_values(m.sums[own_warp], m.scores, group, l, count,
                 [&](int u, int key) { return is_own(key) ? own_value : fetched(part, 1, u); });
      half_barrier();
      fetch_keys(layer, unit, part + kStages);
      float sum = 0;
#pragma unroll
      for (int i = 0; i < kHalf / 32; ++i) sum += m.sums[i][h][d];
      if (!whole) {
        float* record = records + part * kRecord;
        record[2 + d] = sum;
        if (d == 0) {
          record[0] = m.largest[slot][h];
          record[1] = m.total[slot][h];
        }
        continue;
      }
      m.values[slot][half_tid] = sum;
      if (more && slot + 1 < Joined::kAtOnce) continue;
      joined.add([&](int p) { return p <= slot ? m.largest[p][h] : -INFINITY; },
                 [&](int p) { return p <= slot ? m.total[p][h] : 0; },
                 [&](int p) { return p <= slot ? m.values[p][half_tid] : 0; });
    }
    if (whole) {
      attended[half_tid] = from_float<bf16_t>(joined.result());
      return;
    }
    // The last block of this row and these heads adds up.
    __threadfence();
    half_barrier();
    std::int32_t* counter = a.counters + unit.row * a.paged.kv_heads + unit.kv_head;
    const int blocks = (unit.parts + a.parts_of_range - 1) / a.parts_of_range;
    if (half_tid == 0) m.last = atomicAdd(counter, 1) == blocks - 1;
    half_barrier();
    if (!m.last) return;
    __threadfence();
    attended[half_tid] = from_float<bf16_t>(joined_records(records, kRecord, unit.parts, d));
    if (half_tid == 0) *counter = 0;
  }
};

template <int kRows>
__global__ void __launch_bounds__(kThreads, 1) decoder_rows_kernel(const __grid_constant__ RowArguments a) {
  extern __shared__ __align__(128) std::byte memory[];
  DecoderBlockOfRows<kRows>(a, *reinterpret_cast<RowsShared<kRows>*>(memory)).run();
}

template <int kRows>
void run(Context& context, const RowArguments& a, unsigned grid) {
  launch(context, "decoder_layers", decoder_rows_kernel<kRows>, grid, kThreads, sizeof(RowsShared<kRows>), a);
}

}  // namespace

bool rows_fit(const Context& context, const RowArguments& a, int rows, unsigned grid) {
  return a.down.tiles == 1 && std::min(rows, kMostRows) <= static_cast<int>(grid) &&
         (rows <= 16 ? sizeof(RowsShared<2>) : sizeof(RowsShared<4>)) <= context.shared_memory;
}

void run_rows(Context& context, RowArguments a, unsigned grid) {
  // Two units of attention for every block.
  a.ranges = std::clamp(divide_up(2 * static_cast<int>(grid), a.rows * a.paged.kv_heads), 1, a.parts);
  a.parts_of_range = divide_up(a.parts, a.ranges);
  if (a.rows <= 8) return run<1>(context, a, grid);
  if (a.rows <= 16) return run<2>(context, a, grid);
  run<4>(context, a, grid);
}

}  // namespace glmocr::cuda::decoder
