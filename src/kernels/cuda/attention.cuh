// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <bit>
#include <span>

#include "kernels/cuda/context.h"
#include "kernels/cuda/values.cuh"

namespace glmocr::cuda {

// Where the keys and values of one head are, and which of them a query sees.

// Whole segments of three matrices of rows.
template <class T>
struct SegmentAttention {
  const T *q, *k, *v;
  std::int64_t q_row, q_head, k_row, k_head, v_row, v_head;  // strides
  T* y;
  std::int64_t y_row;
  // [segments + 1]: first rows of k and v, of q. Of few segments they are here, else on the device.
  static constexpr int kHere = 32;
  const std::int32_t *starts, *queries;
  std::int32_t starts_here[kHere + 1], queries_here[kHere + 1];
  int segments, keys, heads, dim;  // keys: rows of k and v
  float scale;

  __device__ __forceinline__ int key_start(int segment) const {
    return segments <= kHere ? starts_here[segment] : starts[segment];
  }
  __device__ __forceinline__ int query_start(int segment) const {
    return segments <= kHere ? queries_here[segment] : queries[segment];
  }
};

// Pages of a store.
template <class T>
struct PagedAttention {
  const T* q;
  std::int64_t q_row, q_head;  // strides
  const T *keys, *values;      // [pages, kv_heads, page_size, dim]
  T* y;                        // [rows, heads · dim]
  const std::int32_t *row_starts, *context_lens, *page_table;
  std::int64_t table_row;  // stride
  int rows, sequences, pages, heads, kv_heads, dim, page_size;
  int all_pages;   // of the store
  int page_shift;  // page_size is 1 << page_shift; -1 where it is no power of two
  float scale;
  // No kernel that may still run writes the tables, or keys and values: they may be read before the kernel before has ended.
  bool settled = false;
  volatile std::int32_t* step_fault = nullptr;

  // How many keys a row sees, of a sequence that ends before row end_row. 0 where the sequence has so many more rows than its
  // context that the row sees none, which is an error.
  __device__ __forceinline__ int keys_seen(int row, int end_row, int context) const {
    const int keys = context - end_row + row + 1;
    if (keys > 0) return keys;
    *step_fault = kRowsWithoutKeys;
    return 0;
  }

  // The page of a token, of those of its sequence. Divisions would cost more than the copies they are for.
  __device__ __forceinline__ int page_of(int token) const {
    return page_shift >= 0 ? token >> page_shift : token / page_size;
  }

  // The index of a token's key, or value, of a head in the store.
  __device__ __forceinline__ std::int64_t offset(const std::int32_t* table, int kv_head, int token) const {
    const int page = page_of(token);
    return offset(table[page], kv_head, token - page * page_size);
  }
  __device__ __forceinline__ std::int64_t offset(int page, int kv_head, int token_of_page) const {
    return std::int64_t{page * kv_heads + kv_head} * (page_size * dim) + token_of_page * dim;
  }
};

// The sequences of a batch in a store of this kind; everything else is empty.
template <class T>
PagedAttention<T> pages_of_batch(const PagedBatch& batch, const KvSpec& spec) {
  const auto page_size = static_cast<unsigned>(spec.page_size);
  PagedAttention<T> a{};
  a.row_starts = data<const std::int32_t>(batch.row_starts);
  a.context_lens = data<const std::int32_t>(batch.context_lens);
  a.page_table = data<const std::int32_t>(batch.page_table);
  a.table_row = batch.page_table.strides[0];
  a.sequences = static_cast<int>(batch.context_lens.numel());
  a.pages = static_cast<int>(batch.page_table.size(1));
  a.kv_heads = spec.kv_heads;
  a.dim = spec.head_dim;
  a.page_size = spec.page_size;
  a.all_pages = static_cast<int>(spec.pages);
  a.page_shift = std::has_single_bit(page_size) ? std::countr_zero(page_size) : -1;
  return a;
}

inline constexpr int kMaxHeadDim = 256;

// In fp32 arithmetic, any type and head_dim up to kMaxHeadDim.
template <class T>
void run_segments(Context& context, const SegmentAttention<T>& a, int rows);
template <class T>
void run_many_rows(Context& context, const PagedAttention<T>& a);

// Segments in fp32 with this head_dim, rows of q, k, v and y multiples of 16 bytes at such addresses. `tiles`: how many
// tiles of kShortTile rows the segments have.
inline constexpr int kShortDim = 32, kShortTile = 32;
void run_segments_short(Context& context, const SegmentAttention<float>& a, int tiles);

// The same where sixteen bits of an operand count, on tensor cores.
inline constexpr int kHalvesTile = 64;
void run_segments_halves(Context& context, const SegmentAttention<float>& a, int tiles);

// A row at a time, keys in parts; `partial` has room for partial_floats() numbers.
template <class T>
void run_few_rows(Context& context, const PagedAttention<T>& a, int max_context, float* partial);
std::int64_t partial_floats(std::int64_t rows, std::int64_t heads, std::int64_t dim,
                            std::int64_t max_context);

// On tensor cores: head_dim up to 128, rows of q, k and v multiples of 16 bytes at such addresses. The weights are
// rounded to bf16, as the contract allows.
inline constexpr int kMaxTensorCoreDim = 128;
// tiles: how many tiles of so many rows the segments have, as tile_count gives them of the first rows of their queries.
int tile_count(std::span<const std::int32_t> queries, int tile_rows);
inline constexpr int kSegmentTile = 128;
void run_segments_mma(Context& context, const SegmentAttention<bf16_t>& a, int tiles);
void run_many_rows_mma(Context& context, const PagedAttention<bf16_t>& a);

// On Hopper: segments with head_dim up to 64, pages up to 128.
inline constexpr int kMaxSm90Dim = 64;
void run_segments_sm90(Context& context, const SegmentAttention<bf16_t>& a,
                       std::span<const std::int32_t> queries);
void run_many_rows_sm90(Context& context, const PagedAttention<bf16_t>& a);

}  // namespace glmocr::cuda
