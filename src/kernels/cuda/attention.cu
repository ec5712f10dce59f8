// SPDX-License-Identifier: Apache-2.0
#include "kernels/cuda/attention.cuh"

#include <vector>

#include "kernels/cuda/cuda_kv_store.h"
#include "kernels/cuda/cuda_ops.h"

namespace glmocr::cuda {
namespace {

// The tiles of the queries of all segments: segment and first row.
std::vector<std::int32_t> segment_tiles(std::span<const std::int32_t> starts, int tile_rows) {
  std::vector<std::int32_t> tiles;
  for (std::int32_t s = 0; s + 1 < std::ssize(starts); ++s) {
    for (std::int32_t row = 0; row < starts[s + 1] - starts[s]; row += tile_rows) {
      tiles.push_back(s);
      tiles.push_back(row);
    }
  }
  return tiles;
}

bool tensor_cores_take(const Tensor& t) { return t.size(2) <= kMaxTensorCoreDim && rows_are_aligned(t); }

}  // namespace

Tensor CudaOps::attention(const Tensor& q, const Tensor& k, const Tensor& v,
                          const AttentionOptions& options) {
  const std::int64_t n = q.size(0), heads = q.size(1), dim = q.size(2);
  const Tensor y = output(options.out, {n, heads * dim}, q.dtype);
  GLMOCR_CHECK(k.size(1) == heads && k.size(2) == dim && v.shape == k.shape);
  GLMOCR_CHECK(k.dtype == q.dtype && v.dtype == q.dtype);
  GLMOCR_CHECK(dim <= kMaxHeadDim && !options.segments.empty());
  const ArenaScope scope(device_);
  const std::span<const std::int32_t> queries = options.of_queries();
  GLMOCR_CHECK(queries.size() == options.segments.size());
  const auto upload = [&](std::span<const std::int32_t> rows) {
    return device_.upload_array(rows.data(), {std::ssize(rows)});
  };
  const Tensor starts = upload(options.segments), first_queries = upload(queries);
  with_compute_type(q.dtype, [&](auto value) {
    using T = decltype(value);
    const SegmentAttention<T> a{.q = data<const T>(q),
                                .k = data<const T>(k),
                                .v = data<const T>(v),
                                .q_row = q.strides[0],
                                .q_head = q.strides[1],
                                .k_row = k.strides[0],
                                .k_head = k.strides[1],
                                .v_row = v.strides[0],
                                .v_head = v.strides[1],
                                .y = data<T>(y),
                                .y_row = y.row_stride(),
                                .starts = data<const std::int32_t>(starts),
                                .queries = data<const std::int32_t>(first_queries),
                                .segments = static_cast<int>(std::ssize(options.segments)) - 1,
                                .heads = static_cast<int>(heads),
                                .dim = static_cast<int>(dim),
                                .scale = options.scale};
    if constexpr (std::is_same_v<T, bf16_t>) {
      if (tensor_cores_take(q) && tensor_cores_take(k) && tensor_cores_take(v)) {
        const bool sm90 = dim <= kMaxSm90Dim && context_.hopper;
        const std::vector<std::int32_t> tiles =
            segment_tiles(queries, sm90 ? kSegmentTileSm90 : kSegmentTile);
        const std::int64_t count = std::ssize(tiles) / 2;
        const Tensor on_device = device_.upload_array(tiles.data(), {count, 2});
        const auto run_tiles = sm90 ? run_segments_sm90 : run_segments_mma;
        return run_tiles(context_, a, data<const std::int32_t>(on_device), static_cast<int>(count));
      }
    }
    run_segments(context_, a, static_cast<int>(n));
  });
  return y;
}

Tensor CudaOps::attention_paged(const Tensor& q, const KvStore& store, int layer, const PagedBatch& batch,
                                float scale) {
  const CudaKvStore& own = CudaKvStore::of(store, device_);
  const KvSpec& s = own.spec();
  const Tensor keys = own.keys(layer), values = own.values(layer);
  const std::int64_t rows = q.size(0), heads = q.size(1), dim = q.size(2);
  GLMOCR_CHECK(q.dtype == s.dtype && dim == s.head_dim && dim <= kMaxHeadDim && heads % s.kv_heads == 0);
  const Tensor y = device_.scratch({rows, heads * dim}, q.dtype);
  if (rows == 0) return y;
  const ArenaScope scope(device_);
  with_compute_type(q.dtype, [&](auto value) {
    using T = decltype(value);
    const PagedAttention<T> a{.q = data<const T>(q),
                              .q_row = q.strides[0],
                              .q_head = q.strides[1],
                              .keys = data<const T>(keys),
                              .values = data<const T>(values),
                              .y = data<T>(y),
                              .row_starts = data<const std::int32_t>(batch.row_starts),
                              .context_lens = data<const std::int32_t>(batch.context_lens),
                              .page_table = data<const std::int32_t>(batch.page_table),
                              .table_row = batch.page_table.strides[0],
                              .rows = static_cast<int>(rows),
                              .sequences = static_cast<int>(batch.context_lens.numel()),
                              .pages = static_cast<int>(batch.page_table.size(1)),
                              .heads = static_cast<int>(heads),
                              .kv_heads = s.kv_heads,
                              .dim = static_cast<int>(dim),
                              .page_size = s.page_size,
                              .scale = scale};
    if (batch.rows == RowClass::few) {
      const Tensor partial =
          device_.scratch({partial_floats(rows, heads, dim, batch.max_context)}, DType::f32);
      return run_few_rows(context_, a, batch.max_context, data<float>(partial));
    }
    if constexpr (std::is_same_v<T, bf16_t>) {
      if (tensor_cores_take(q)) {
        return context_.hopper ? run_many_rows_sm90(context_, a) : run_many_rows_mma(context_, a);
      }
    }
    run_many_rows(context_, a);
  });
  return y;
}

}  // namespace glmocr::cuda
