// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <vector>

#include "kernels/host/host_kv_store.h"
#include "kernels/ref/ref_ops.h"
#include "kernels/ref/values.h"

namespace glmocr::ref {
namespace {

enum class Weights { exact, rounded };

// 2^score relative to a power of two, rounded to bf16 where the contract asks for it.
double weight_of(double score, double largest, Weights weights) {
  const double weight = std::exp2(score - std::ceil(largest));
  return weights == Weights::rounded ? round_to_bf16(static_cast<float>(weight)) : weight;
}

// One query against `count` keys: softmax(q·k·scale)·v. offset(k, i) is the offset of key i in k, and
// offset(v, i) that of value i in v.
template <class Offset>
void attend(const Tensor& q, std::int64_t q_offset, const Tensor& k, const Tensor& v, Offset offset,
            std::int64_t count, std::int64_t dim, float scale, Weights weights, const Tensor& y,
            std::int64_t y_offset) {
  std::vector<double> scores(count);
  double largest = -std::numeric_limits<double>::infinity();
  for (std::int64_t i = 0; i < count; ++i) {
    double dot = 0;
    for (std::int64_t d = 0; d < dim; ++d) {
      dot += double{get(q, q_offset + d)} * get(k, offset(k, i) + d);
    }
    scores[i] = dot * scale * std::numbers::log2e;
    largest = std::max(largest, scores[i]);
  }
  double total = 0;
  for (double& score : scores) total += score = weight_of(score, largest, weights);
  for (std::int64_t d = 0; d < dim; ++d) {
    double sum = 0;
    for (std::int64_t i = 0; i < count; ++i) sum += scores[i] * get(v, offset(v, i) + d);
    put(y, y_offset + d, sum / total);
  }
}

}  // namespace

Tensor RefOps::attention(const Tensor& q, const Tensor& k, const Tensor& v, const AttentionOptions& options) {
  const std::int64_t n = q.size(0), heads = q.size(1), dim = q.size(2);
  const Tensor y = output(options.out, {n, heads * dim}, q.dtype);
  const std::span<const std::int32_t> queries = options.of_queries();
  GLMOCR_CHECK(queries.size() == options.segments.size());
  const Weights weights = q.dtype == DType::bf16 ? Weights::rounded : Weights::exact;
  for (std::int64_t s = 0; s + 1 < std::ssize(options.segments); ++s) {
    const std::int64_t begin = options.segments[s], end = options.segments[s + 1];
    for (std::int64_t r = queries[s]; r < queries[s + 1]; ++r) {
      for (std::int64_t h = 0; h < heads; ++h) {
        const auto offset = [&](const Tensor& t, std::int64_t i) {
          return (begin + i) * t.strides[0] + h * t.strides[1];
        };
        attend(q, r * q.strides[0] + h * q.strides[1], k, v, offset, end - begin, dim, options.scale, weights,
               y, r * y.row_stride() + h * dim);
      }
    }
  }
  return y;
}

Tensor RefOps::attention_paged(const Tensor& q, const KvStore& store, int layer, const PagedBatch& batch,
                               float scale) {
  const HostKvStore& own = HostKvStore::of(store, device_);
  const Tensor keys = own.keys(layer), values = own.values(layer);
  const std::int64_t heads = q.size(1), dim = q.size(2);
  const std::int64_t kv_heads = keys.size(1), page_size = own.page_size();
  const std::int64_t sequences = batch.context_lens.numel();
  const std::int32_t* starts = batch.row_starts.as<std::int32_t>();
  const Tensor y = device_.scratch({q.size(0), heads * dim}, q.dtype);
  for (std::int64_t s = 0; s < sequences; ++s) {
    const std::int32_t* pages = batch.page_table.as<std::int32_t>() + s * batch.page_table.strides[0];
    const std::int64_t context = batch.context_lens.as<std::int32_t>()[s];
    GLMOCR_CHECK(starts[s + 1] - starts[s] <= context);
    for (std::int64_t r = starts[s]; r < starts[s + 1]; ++r) {
      for (std::int64_t h = 0; h < heads; ++h) {
        const auto offset = [&](const Tensor&, std::int64_t i) {
          return ((pages[i / page_size] * kv_heads + h / (heads / kv_heads)) * page_size + i % page_size) *
                 dim;
        };
        attend(q, r * q.strides[0] + h * q.strides[1], keys, values, offset, context - starts[s + 1] + r + 1,
               dim, scale, Weights::exact, y, (r * heads + h) * dim);
      }
    }
  }
  for (std::int64_t i = starts[sequences] * heads * dim; i < y.numel(); ++i) put(y, i, 0);
  return y;
}

}  // namespace glmocr::ref
