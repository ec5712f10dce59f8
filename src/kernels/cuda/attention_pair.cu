// SPDX-License-Identifier: Apache-2.0
#include <bit>

#include "base/numbers.h"
#include "kernels/cuda/attention.cuh"
#include "kernels/cuda/attention_few.cuh"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/rope.cuh"

// Attention of few rows over pages, two query heads of a kv head in bf16: decoding. Bound by memory. A warp has parts of a context
// for itself, and four tiles of keys or values under way into registers, where tensor cores take them from: only the results of
// parts and the tokens of this step pass through shared memory.
namespace glmocr::cuda {
namespace {

constexpr int kThreads = 128, kWarps = kThreads / 32;

// Sixteen bytes that are read once. In the order in which the program asks for them: the compiler would ask later.
__device__ __forceinline__ uint4 load_16(const bf16_t* from) {
  uint4 v;
  asm volatile("ld.global.L1::no_allocate.L2::128B.v4.u32 {%0,%1,%2,%3}, [%4];"
               : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
               : "l"(from));
  return v;
}

// A tile on its way: of keys, those of rows g and g + 8; of values, two halves of the dimensions.
struct Tile {
  uint4 v[2][4];
};

// Half a part lies in one page where kPaged.
constexpr int kPiece = kPart / 2, kPieceTiles = kTiles / 2;
struct Pieces {
  int of[2];  // pages; or rows of the store where the pieces of a head begin
};

// Reads the keys and values of parts of a context.
template <bool kPaged>
class PartReader {
 public:
  const PagedAttention<bf16_t>& a;
  const std::int32_t* table;  // of the sequence
  int kv_head, visible, g, t;

  __device__ __forceinline__ Pieces pages_of(int part) const {
    const auto page = [&](int piece) {
      return kPaged ? table[min(part * kPart + piece * kPiece >> a.page_shift, a.pages - 1)] : 0;
    };
    return {page(0), page(1)};
  }
  // Of a part that exists.
  __device__ __forceinline__ Pieces begin_of(const Pieces& pages, int part) const {
    const auto begin = [&](int piece) {
      const int token = part * kPart + piece * kPiece;
      return ((pages.of[piece] * a.kv_heads + kv_head) << a.page_shift) + (token & (a.page_size - 1));
    };
    if constexpr (!kPaged) return {};
    return {begin(0), part * kPart + kPiece < visible ? begin(1) : begin(0)};
  }
  __device__ __forceinline__ void load_keys(Tile& tile, const Pieces& begin, int part, int i) const {
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      const bf16_t* from = a.keys + offset(begin, part, i, g + 8 * r) + 8 * t;
#pragma unroll
      for (int j = 0; j < 4; ++j) tile.v[r][j] = load_16(from + 32 * j);
    }
  }
  __device__ __forceinline__ void load_values(Tile& tile, const Pieces& begin, int part, int i) const {
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      const bf16_t* from = a.values + offset(begin, part, i, 2 * t + k % 2 + k / 2 * 8) + 8 * g;
#pragma unroll
      for (int half = 0; half < 2; ++half) tile.v[half][k] = load_16(from + kPairDim / 2 * half);
    }
  }

 private:
  // Of a key of tile i. Those that do not exist are others again: they are left out later.
  __device__ __forceinline__ std::int64_t offset(const Pieces& begin, int part, int i, int key) const {
    const int last = visible - 1 - part * kPart, piece = i / kPieceTiles;
    if constexpr (kPaged) {
      const int of_piece = min(i % kPieceTiles * kTileKeys + key, max(last - piece * kPiece, 0));
      return std::int64_t{begin.of[piece] + of_piece} * kPairDim;
    }
    return a.offset(table, kv_head, part * kPart + min(i * kTileKeys + key, last));
  }
};

// Values of keys that do not exist must not be anything times zero. tile_keys: how many exist.
__device__ __forceinline__ void leave_out(Tile& tile, int tile_keys, int t) {
#pragma unroll
  for (int k = 0; k < 4; ++k) {
    if (2 * t + k % 2 + k / 2 * 8 >= tile_keys) tile.v[0][k] = tile.v[1][k] = uint4{};
  }
}

// What a step computes of its tokens: chunks of 16 bytes of both queries, the key and the value, in this order.
constexpr int kChunks = kPairDim / 8, kOwnChunks = (kPairHeads + 2) * kChunks;

// For all threads of a block. The row's queries and key, turned, and its value go to `own`; the block whose parts hold the token,
// the last of the context, also writes key and value to their slot. Returns the token, or -1 where nothing of it is kept.
__device__ __forceinline__ int take_next(const FewArguments<bf16_t>& args, const NextTokens& next, uint4* own,
                                         int row, int kv_head, int token, int begin, int end) {
  const PagedAttention<bf16_t>& a = args.a;
  const int tid = threadIdx.x, head = tid / kChunks, chunk = tid % kChunks;
  std::int64_t slot = next.slots[row];
  if (slot < -1 || slot >= next.slot_count) {
    *a.step_fault = kIndexOutside;
    slot = -1;
  }
  if (tid < kOwnChunks) {
    const bool is_query = head < kPairHeads, is_value = head >= kPairHeads + 1;
    const bf16_t* from = is_query   ? a.q + row * a.q_row + (kv_head * kPairHeads + head) * a.q_head
                         : is_value ? next.v + row * next.v_row + kv_head * next.v_head
                                    : next.k + row * next.k_row + kv_head * next.k_head;
    auto pack = *reinterpret_cast<const Pack<bf16_t, 8>*>(from + 8 * chunk);
    if (!is_value) {
      const float* cosines = next.table + row * (kPairDim / 2) + 4 * chunk;
      pack = turned(pack, *reinterpret_cast<const Pack<float, 4>*>(cosines),
                    *reinterpret_cast<const Pack<float, 4>*>(cosines + next.sines_at));
    }
    *reinterpret_cast<Pack<bf16_t, 8>*>(own + tid) = pack;
    if (!is_query && slot >= 0 && begin <= token && token < end) {
      const std::int64_t page = slot >> a.page_shift, at = slot & (a.page_size - 1);
      bf16_t* to = (is_value ? next.values : next.keys) +
                   ((page * a.kv_heads + kv_head) * a.page_size + at) * kPairDim + 8 * chunk;
      *reinterpret_cast<Pack<bf16_t, 8>*>(to) = pack;
    }
  }
  __syncthreads();
  return slot >= 0 ? token : -1;
}

// The key, or value, of a step's own token takes the place of what was read there.
__device__ __forceinline__ void put_key(Tile (&tiles)[kTiles], const uint4* own, int key, int g, int t) {
#pragma unroll
  for (int i = 0; i < kTiles; ++i) {
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      if (i * kTileKeys + 8 * r + g != key) continue;
#pragma unroll
      for (int j = 0; j < 4; ++j) tiles[i].v[r][j] = own[4 * j + t];
    }
  }
}
__device__ __forceinline__ void put_value(Tile& tile, const uint4* own, int key, int g, int t) {
#pragma unroll
  for (int k = 0; k < 4; ++k) {
    if (2 * t + k % 2 + k / 2 * 8 != key) continue;
#pragma unroll
    for (int half = 0; half < 2; ++half) tile.v[half][k] = own[8 * half + g];
  }
}

template <bool kPaged, bool kNext>
__global__ void __launch_bounds__(kThreads, 2) pair_kernel(const __grid_constant__ FewArguments<bf16_t> args,
                                                           const __grid_constant__ NextTokens next_tokens) {
  const PagedAttention<bf16_t>& a = args.a;
  __shared__ float largest[Joined::kAtOnce][kPairHeads], total[Joined::kAtOnce][kPairHeads];
  __shared__ __align__(16) float values_of_parts[Joined::kAtOnce][kPairHeads * kPairDim];
  __shared__ uint4 own[kNext ? kOwnChunks : 1];
  __shared__ int found;
  let_next_start();
  if (!a.settled) wait_for_previous();
  const int row = blockIdx.z, tid = threadIdx.x, warp = tid / 32, lane = tid % 32, g = lane / 4, t = lane % 4;
  const int kv_head = blockIdx.y, head0 = kPairHeads * kv_head;
  const int first_part = blockIdx.x * args.per_block, first_own = first_part + warp;
  bf16_t* y = a.y + (std::int64_t{row} * a.heads + head0) * kPairDim;

  Pieces pages{}, next_pages{};
  PartReader<kPaged> reader{a, nullptr, kv_head, 0, g, t};
  const RowOf place = row_of<kThreads>(a, row, &found, [&](int sequence) {
    reader.table = a.page_table + sequence * a.table_row;
    pages = reader.pages_of(first_own);
    next_pages = reader.pages_of(first_own + kWarps);
  });
  const int visible = keys_of(a, row, place), parts = (visible + kPart - 1) / kPart;
  if (visible == 0) {
    wait_for_previous();
    for (int i = tid; first_part == 0 && i < kPairHeads * kPairDim; i += kThreads)
      y[i] = from_float<bf16_t>(0);
    return;
  }
  if (first_part >= parts) return wait_for_previous();
  const int end_part = min(first_part + args.per_block, parts);
  const bool whole = parts <= args.per_block;
  reader.visible = visible;

  Tile tiles[kTiles];
  Pieces start = reader.begin_of(pages, first_own);
  if (first_own < end_part) {
#pragma unroll
    for (int i = 0; i < kTiles; ++i) reader.load_keys(tiles[i], start, first_own, i);
  }
  wait_for_previous();
  int current = -1;  // the key that this step computes
  uint4 q[4];
  if constexpr (kNext) {
    current =
        take_next(args, next_tokens, own, row, kv_head, visible - 1, first_part * kPart, end_part * kPart);
#pragma unroll
    for (int j = 0; j < 4; ++j) q[j] = own[g % 2 * kChunks + 4 * j + t];
  } else {
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      q[j] =
          *reinterpret_cast<const uint4*>(a.q + row * a.q_row + (head0 + g % 2) * a.q_head + 32 * j + 8 * t);
    }
  }

  float* partial = args.partial + (std::int64_t{row} * a.heads + head0) * args.parts * kPairRecord;
  Joined joined[kPairHeads];
  for (int begin = first_part; begin < end_part; begin += kWarps) {
    const int part = begin + warp, slot = part % Joined::kAtOnce, next = part + kWarps;
    if (part < end_part) {
      const int count = min(visible - part * kPart, kPart);
      const int own_key = kNext && current / kPart == part ? current - part * kPart : -1;
      if (kNext && own_key >= 0) put_key(tiles, own + kPairHeads * kChunks, own_key, g, t);
      float scores[kTiles][4];
#pragma unroll
      for (int i = 0; i < kTiles; ++i) {
        score_tile(scores[i], tiles[i].v[0], tiles[i].v[1], q);
        // Always so; but the assembler would ask for values behind the exponentials if no branch kept it.
        if (count > 0) reader.load_values(tiles[i], start, part, i);
      }
      if (next < end_part) {
        start = reader.begin_of(next_pages, next);
        next_pages = reader.pages_of(next + kWarps);
      }
      const PartWeights w = weigh(scores, count, a.scale, g, t);
      float sums[kDimTiles][4] = {};
#pragma unroll
      for (int i = 0; i < kTiles; ++i) {
        if (count < kPart) leave_out(tiles[i], count - i * kTileKeys, t);
        if (kNext && own_key >= 0) {
          put_value(tiles[i], own + (kPairHeads + 1) * kChunks, own_key - i * kTileKeys, g, t);
        }
        add_tile(sums, tiles[i].v[0], w.pieces[i]);
        add_tile(sums + kDimTiles / 2, tiles[i].v[1], w.pieces[i]);
        if (next < end_part) reader.load_keys(tiles[i], start, next, i);
      }
      // The lane's results: eight dimensions of a head.
      const int h = t % 2, d = 8 * g + t / 2 * 4;
      float* record = partial + (h * args.parts + part) * kPairRecord;
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        float sum[4];
#pragma unroll
        for (int i = 0; i < 4; ++i) sum[i] = sum_of_pieces(sums[half * 4 + i], t);
        const int at = d + half * kPairDim / 2;
        if (whole) {
          *reinterpret_cast<float4*>(&values_of_parts[slot][h * kPairDim + at]) = {sum[0], sum[1], sum[2],
                                                                                   sum[3]};
        } else {
          *reinterpret_cast<float2*>(record + 2 + at) = {sum[0], sum[1]};
          *reinterpret_cast<float2*>(record + 4 + at) = {sum[2], sum[3]};
        }
      }
      if (lane < kPairHeads) {
        const float most = lane == 0 ? w.largest[0] : w.largest[1], all = lane == 0 ? w.total[0] : w.total[1];
        if (whole) {
          largest[slot][lane] = most;
          total[slot][lane] = all;
        } else {
          float* of_head = partial + (lane * args.parts + part) * kPairRecord;
          of_head[0] = most;
          of_head[1] = all;
        }
      }
    }
    const bool last = begin + kWarps >= end_part;
    if (!whole || (!last && (begin + kWarps) % Joined::kAtOnce != 0)) continue;
    __syncthreads();
    const int count = min(end_part - begin / Joined::kAtOnce * Joined::kAtOnce, Joined::kAtOnce);
#pragma unroll
    for (int h = 0; h < kPairHeads; ++h) {
      joined[h].add([&](int p) { return p < count ? largest[p][h] : -INFINITY; },
                    [&](int p) { return p < count ? total[p][h] : 0; },
                    [&](int p) { return p < count ? values_of_parts[p][h * kPairDim + tid] : 0; });
      if (last) y[h * kPairDim + tid] = from_float<bf16_t>(joined[h].result());
    }
    if (!last) __syncthreads();
  }
  if (!whole) join_records<kThreads>(args, row, parts, kPairHeads * kPairDim, partial, y, &found);
}

}  // namespace

bool pieces_are_paged(int page_size) {
  return std::has_single_bit(static_cast<unsigned>(page_size)) && page_size >= kPiece;
}

void run_pairs(Context& context, const FewArguments<bf16_t>& all, const NextTokens* next) {
  FewArguments<bf16_t> args = all;
  const PagedAttention<bf16_t>& a = args.a;
  args.per_block = parts_per_block(a.kv_heads * a.rows, args.parts, 2 * context.processors);
  const dim3 grid(divide_up(args.parts, args.per_block), a.kv_heads, a.rows);
  GLMOCR_CHECK(std::int64_t{grid.y} * grid.z <= kCounters);
  const bool paged = pieces_are_paged(a.page_size);
  GLMOCR_CHECK(paged || !next);
  const auto kernel = next    ? pair_kernel<true, true>
                      : paged ? pair_kernel<true, false>
                              : pair_kernel<false, false>;
  launch(context, "attention_paged", kernel, grid, kThreads, 0, args, next ? *next : NextTokens{});
}

}  // namespace glmocr::cuda
