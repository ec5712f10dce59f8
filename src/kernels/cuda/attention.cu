// SPDX-License-Identifier: Apache-2.0
#include "kernels/cuda/attention.cuh"

#include <algorithm>

#include "base/numbers.h"
#include "kernels/cuda/attention_few.cuh"
#include "kernels/cuda/cuda_kv_store.h"
#include "kernels/cuda/cuda_ops.h"

namespace glmocr::cuda {
namespace {

bool tensor_cores_take(const Tensor& t) { return t.size(2) <= kMaxTensorCoreDim && rows_are_aligned(t); }

// All that attention over the pages of a layer is told, of rows of q, results in y; but for `settled`.
template <class T>
PagedAttention<T> paged_of(const Context& context, const Tensor& q, const Tensor& y, const CudaKvStore& store,
                           int layer, const PagedBatch& batch, float scale) {
  PagedAttention<T> a = pages_of_batch<T>(batch, store.spec());
  a.q = data<const T>(q);
  a.q_row = q.strides[0];
  a.q_head = q.strides[1];
  a.keys = data<const T>(store.keys(layer));
  a.values = data<const T>(store.values(layer));
  a.y = data<T>(y);
  a.rows = static_cast<int>(q.size(0));
  a.heads = static_cast<int>(q.size(1));
  a.scale = scale;
  a.step_fault = context.step_fault;
  return a;
}

}  // namespace

int tile_count(std::span<const std::int32_t> starts, int tile_rows) {
  int count = 0;
  for (std::size_t s = 0; s + 1 < starts.size(); ++s)
    count += divide_up(starts[s + 1] - starts[s], tile_rows);
  return count;
}

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
  const auto segments = static_cast<int>(std::ssize(options.segments)) - 1;
  with_compute_type(q.dtype, [&](auto value) {
    using T = decltype(value);
    SegmentAttention<T> a{.q = data<const T>(q),
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
                          .starts = nullptr,
                          .queries = nullptr,
                          .starts_here = {},
                          .queries_here = {},
                          .segments = segments,
                          .keys = static_cast<int>(k.size(0)),
                          .heads = static_cast<int>(heads),
                          .dim = static_cast<int>(dim),
                          .scale = options.scale};
    if (segments <= a.kHere) {
      std::copy(options.segments.begin(), options.segments.end(), a.starts_here);
      std::copy(queries.begin(), queries.end(), a.queries_here);
    } else {
      a.starts = data<const std::int32_t>(device_.upload_array(options.segments.data(), {segments + 1}));
      a.queries = data<const std::int32_t>(device_.upload_array(queries.data(), {segments + 1}));
    }
    if constexpr (std::is_same_v<T, bf16_t>) {
      if (tensor_cores_take(q) && tensor_cores_take(k) && tensor_cores_take(v)) {
        const bool sm90 = dim <= kMaxSm90Dim && context_.hopper;
        return sm90 ? run_segments_sm90(context_, a, queries)
                    : run_segments_mma(context_, a, tile_count(queries, kSegmentTile));
      }
    }
    if constexpr (std::is_same_v<T, float>) {
      if (dim == kShortDim && rows_are_aligned(q) && rows_are_aligned(k) && rows_are_aligned(v) &&
          rows_are_aligned(y)) {
        if (context_.short_products)
          return run_segments_halves(context_, a, tile_count(queries, kHalvesTile));
        return run_segments_short(context_, a, tile_count(queries, kShortTile));
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
    PagedAttention<T> a = paged_of<T>(context_, q, y, own, layer, batch, scale);
    a.settled = are_settled({batch.row_starts, batch.context_lens, batch.page_table, keys, values});
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

bool CudaOps::takes_next(const DecoderRows& rows, const DecoderBlock& block, const PagedBatch& batch,
                         const KvSpec& spec) const {
  return batch.rows == RowClass::few && batch.max_rows == 1 && rows.x.dtype == DType::bf16 &&
         spec.dtype == DType::bf16 && spec.head_dim == kPairDim && pieces_are_paged(spec.page_size) &&
         block.q->out_features == std::int64_t{kPairHeads} * spec.kv_heads * kPairDim;
}

Tensor CudaOps::attend_next(const Tensor& q, const Tensor& k, const Tensor& v, const DecoderPlace& place,
                            int layer) {
  const CudaKvStore& own = CudaKvStore::of(place.store, device_);
  const KvSpec& s = own.spec();
  const PagedBatch& batch = place.batch;
  const Tensor keys = own.keys(layer), values = own.values(layer);
  const std::int64_t n = q.size(0), pairs = kPairDim / 2;
  GLMOCR_CHECK(rows_are_aligned(q) && rows_are_aligned(k) && rows_are_aligned(v));
  GLMOCR_CHECK(k.size(1) == s.kv_heads && v.shape == k.shape && place.slots.numel() >= n);
  GLMOCR_CHECK(place.table.size(1) >= n && place.table.size(2) == pairs && place.table.strides[1] == pairs);
  const Tensor y = device_.scratch({n, q.size(1) * kPairDim}, DType::bf16);
  const ArenaScope scope(device_);
  const Tensor partial =
      device_.scratch({partial_floats(n, q.size(1), kPairDim, batch.max_context)}, DType::f32);
  PagedAttention<bf16_t> a = paged_of<bf16_t>(context_, q, y, own, layer, batch, place.scale);
  a.settled = are_settled({batch.row_starts, batch.context_lens, batch.page_table, keys, values});
  const NextTokens next{.k = data<const bf16_t>(k),
                        .v = data<const bf16_t>(v),
                        .k_row = k.strides[0],
                        .k_head = k.strides[1],
                        .v_row = v.strides[0],
                        .v_head = v.strides[1],
                        .table = data<const float>(place.table),
                        .sines_at = place.table.strides[0],
                        .keys = data<bf16_t>(keys),
                        .values = data<bf16_t>(values),
                        .slots = data<const std::int32_t>(place.slots),
                        .slot_count = s.pages * s.page_size};
  run_pairs(context_, few_arguments(context_, a, batch.max_context, data<float>(partial)), &next);
  writes(keys);
  writes(values);
  return y;
}

}  // namespace glmocr::cuda
