// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "kernels/cuda/attention.cuh"

// Tiles of queries for the kernels on tensor cores: which queries a block has, and where their keys are.
namespace glmocr::cuda {

// A tile of queries of one head.
struct Tile {
  int row0;        // first row of q and y
  int rows;        // rows of the tile that exist
  int keys;        // that the last of them sees; 0: none, as for rows that are padding
  int first_sees;  // keys that the first of them sees; in pages each next one sees one more
  int head, kv_head;
  std::int64_t first_key;     // row of k and v, of segments
  const std::int32_t* table;  // of pages
};

struct SegmentTiles {
  static constexpr bool kPaged = false;
  SegmentAttention<bf16_t> a;

  // Every segment has its own tiles.
  __device__ __forceinline__ bool find(int index, int tile_rows, int head, Tile& tile) const {
    for (int segment = 0; segment < a.segments; ++segment) {
      const int begin = a.query_start(segment), end = a.query_start(segment + 1);
      const int count = (end - begin + tile_rows - 1) / tile_rows;
      if (index >= count) {
        index -= count;
        continue;
      }
      const int row0 = begin + index * tile_rows, first_key = a.key_start(segment),
                keys = a.key_start(segment + 1) - first_key;
      tile = {row0, min(tile_rows, end - row0), keys, keys, head, head, first_key, nullptr};
      return true;
    }
    return false;
  }
  __device__ __forceinline__ const bf16_t* query(const Tile& tile, int row) const {
    return a.q + std::int64_t{tile.row0 + row} * a.q_row + tile.head * a.q_head;
  }
  __device__ __forceinline__ const bf16_t* key(const Tile& tile, int token) const {
    return a.k + (tile.first_key + token) * a.k_row + tile.head * a.k_head;
  }
  __device__ __forceinline__ const bf16_t* value(const Tile& tile, int token) const {
    return a.v + (tile.first_key + token) * a.v_row + tile.head * a.v_head;
  }
  // Where the keys and values of a token are in matrices of the rows of all of them.
  __device__ __forceinline__ int box_row(const Tile& tile, int token) const {
    return static_cast<int>(tile.first_key) + token;
  }
  __device__ __forceinline__ int box_column(const Tile& tile) const { return tile.head * a.dim; }
  __device__ __forceinline__ bf16_t* result(const Tile& tile, int row) const {
    return a.y + std::int64_t{tile.row0 + row} * a.y_row + tile.head * a.dim;
  }
};

struct PagedTiles {
  static constexpr bool kPaged = true;
  PagedAttention<bf16_t> a;

  // Every sequence has its own tiles; the rows behind the last sequence are counted as one more. False if there
  // are fewer tiles.
  __device__ __forceinline__ bool find(int index, int tile_rows, int head, Tile& tile) const {
    for (int sequence = 0; sequence <= a.sequences; ++sequence) {
      const int begin = a.row_starts[sequence];
      const int end = sequence < a.sequences ? a.row_starts[sequence + 1] : a.rows;
      const int count = (end - begin + tile_rows - 1) / tile_rows;
      if (index >= count) {
        index -= count;
        continue;
      }
      const int first = index * tile_rows, rows = min(tile_rows, end - begin - first);
      tile = {begin + first, rows, 0, 0, head, head / (a.heads / a.kv_heads), 0, nullptr};
      if (sequence == a.sequences) return true;
      tile.first_sees = a.keys_seen(tile.row0, end, a.context_lens[sequence]);
      if (tile.first_sees == 0) return true;
      tile.keys = tile.first_sees + rows - 1;
      tile.table = a.page_table + sequence * a.table_row;
      return true;
    }
    return false;
  }
  __device__ __forceinline__ const bf16_t* query(const Tile& tile, int row) const {
    return a.q + std::int64_t{tile.row0 + row} * a.q_row + tile.head * a.q_head;
  }
  __device__ __forceinline__ const bf16_t* key(const Tile& tile, int token) const {
    return a.keys + a.offset(tile.table, tile.kv_head, token);
  }
  __device__ __forceinline__ const bf16_t* value(const Tile& tile, int token) const {
    return a.values + a.offset(tile.table, tile.kv_head, token);
  }
  // Where the keys and values of a token are in matrices of the rows of the store.
  __device__ __forceinline__ int box_row(const Tile& tile, int token) const {
    const int page = a.page_of(token);
    return (tile.table[page] * a.kv_heads + tile.kv_head) * a.page_size + (token - page * a.page_size);
  }
  __device__ __forceinline__ int box_column(const Tile&) const { return 0; }
  __device__ __forceinline__ bf16_t* result(const Tile& tile, int row) const {
    return a.y + (std::int64_t{tile.row0 + row} * a.heads + tile.head) * a.dim;
  }
};

// Rows that belong to no sequence become zeros.
template <class Source>
__device__ void clear_padding(const Source& source, const Tile& tile) {
  for (int i = threadIdx.x; i < tile.rows * source.a.dim; i += blockDim.x) {
    source.result(tile, i / source.a.dim)[i % source.a.dim] = from_float<bf16_t>(0);
  }
}

// Whether a word of two bf16 holds one that is not finite; takes it out.
__device__ __forceinline__ bool take_out_not_finite(std::uint32_t& word) {
  const bool low = (word & 0x7F80u) == 0x7F80u, high = (word & 0x7F800000u) == 0x7F800000u;
  if (low) word &= 0xFFFF0000u;
  if (high) word &= 0xFFFFu;
  return low || high;
}

// Adds the values of a block of keys that are not finite to the sums of the rows that see them, in the order of
// mma(): sums[d][i] is column column0 + 8d + 2t + i % 2 of the row that sees sees[i / 2] keys.
template <int kTiles, class Source>
__device__ void put_back_not_finite(float (&sums)[kTiles][4], const Source& source, const Tile& tile,
                                    int first, int end, const int (&sees)[2], int column0 = 0) {
  const int t = threadIdx.x % 4;
  for (int token = first; token < min(end, tile.keys); ++token) {
    const bf16_t* value = source.value(tile, token);
#pragma unroll
    for (int d = 0; d < kTiles; ++d) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int column = column0 + 8 * d + 2 * t + i % 2;
        if (column >= source.a.dim || token >= sees[i / 2]) continue;
        const float number = to_float(value[column]);
        if (!isfinite(number)) sums[d][i] += number;
      }
    }
  }
}

}  // namespace glmocr::cuda
