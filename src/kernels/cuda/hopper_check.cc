// SPDX-License-Identifier: Apache-2.0
#include "kernels/cuda/hopper_check.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>
#include <vector>

#include "tensor/ops.h"

namespace glmocr::cuda {
namespace {

constexpr float kScale = 0.5f;  // sharp: the weights of a row differ by orders of magnitude

// Rows of numbers in [-1, 1), as bf16.
struct Rows {
  std::int64_t count, width;
  std::vector<bf16> values;

  Rows(std::int64_t rows, std::int64_t columns, std::uint32_t seed)
      : count(rows), width(columns), values(rows * columns) {
    for (bf16& value : values) {
      seed = seed * 1664525 + 1013904223;
      value = to_bf16((seed >> 8) * 0x1p-23f - 1);
    }
  }
  float at(std::int64_t row, std::int64_t column) const { return to_float(values[row * width + column]); }
  Tensor on(Device& device, std::int64_t heads) const {
    return device.upload_array(values.data(), {count, heads, width / heads});
  }
};

// One query, the columns from `from` on, against the first `visible` rows.
std::vector<float> attend(const Rows& q, std::int64_t row, std::int64_t from, const Rows& k, const Rows& v,
                          std::int64_t visible) {
  std::vector<double> weights(visible);
  for (std::int64_t i = 0; i < visible; ++i) {
    for (std::int64_t d = 0; d < k.width; ++d)
      weights[i] += double{q.at(row, from + d)} * k.at(i, d) * kScale;
  }
  const double largest = *std::max_element(weights.begin(), weights.end());
  double total = 0;
  for (double& weight : weights) total += weight = std::exp(weight - largest);
  std::vector<float> result;
  for (std::int64_t d = 0; d < k.width; ++d) {
    double sum = 0;
    for (std::int64_t i = 0; i < visible; ++i) sum += weights[i] * v.at(i, d);
    result.push_back(static_cast<float>(sum / total));
  }
  return result;
}

// Compares y, one row after the other; `expected(r)` are the values of row r.
bool is_close(Device& device, const Tensor& y,
              const std::function<std::vector<float>(std::int64_t)>& expected) {
  std::vector<bf16> found(y.numel());
  device.download(y, found.data());
  for (std::int64_t r = 0; r < y.rows(); ++r) {
    const std::vector<float> row = expected(r);
    for (std::int64_t c = 0; c < y.columns(); ++c) {
      const float value = to_float(found[r * y.columns() + c]);
      if (!(std::abs(value - row[c]) <= 0.01f * std::abs(row[c]) + 0.004f)) return false;
    }
  }
  return true;
}

bool segments_work(Device& device) {
  const std::int64_t n = 200, dim = 64;
  const Rows q(n, dim, 1), k(n, dim, 2), v(n, dim, 3);
  const std::vector<std::int32_t> segments{0, static_cast<std::int32_t>(n)};
  AttentionOptions options;
  options.scale = kScale;
  options.segments = segments;
  const Tensor y = device.ops().attention(q.on(device, 1), k.on(device, 1), v.on(device, 1), options);
  return is_close(device, y, [&](std::int64_t r) { return attend(q, r, 0, k, v, n); });
}

// The last rows of a sequence in pages, two query heads per key/value head.
bool pages_work(Device& device, std::int64_t dim) {
  const std::int64_t context = 160, rows = 70, page_size = 16, pages = context / page_size;
  const Rows q(rows, 2 * dim, 4), k(context, dim, 5), v(context, dim, 6);
  const auto store =
      device.make_kv_store({1, 1, static_cast<int>(dim), pages, static_cast<int>(page_size), DType::bf16});
  std::vector<std::int32_t> slots(context), table(pages);
  for (std::int64_t p = 0; p < pages; ++p) table[p] = static_cast<std::int32_t>(pages - 1 - p);
  for (std::int64_t i = 0; i < context; ++i) {
    slots[i] = static_cast<std::int32_t>(table[i / page_size] * page_size + i % page_size);
  }
  const auto ints = [&](const std::vector<std::int32_t>& values, const Shape& shape) {
    return device.upload_array(values.data(), shape);
  };
  device.ops().kv_write(k.on(device, 1), v.on(device, 1), *store, 0, ints(slots, {context}));
  PagedBatch batch;
  batch.row_starts = ints({0, static_cast<std::int32_t>(rows)}, {2});
  batch.context_lens = ints({static_cast<std::int32_t>(context)}, {1});
  batch.page_table = ints(table, {1, pages});
  batch.max_rows = static_cast<int>(rows);
  batch.max_context = static_cast<int>(context);
  const Tensor y = device.ops().attention_paged(q.on(device, 2), *store, 0, batch, kScale);
  return is_close(device, y, [&](std::int64_t r) {
    std::vector<float> both = attend(q, r, 0, k, v, context - rows + r + 1);
    const std::vector<float> second = attend(q, r, dim, k, v, context - rows + r + 1);
    both.insert(both.end(), second.begin(), second.end());
    return both;
  });
}

}  // namespace

bool hopper_kernels_work(Device& device) {
  const ArenaScope scope(device);
  return segments_work(device) && pages_work(device, 64) && pages_work(device, 128);
}

}  // namespace glmocr::cuda
