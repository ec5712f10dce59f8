// SPDX-License-Identifier: Apache-2.0
#include "kernels/host/top_rows.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <vector>

namespace glmocr {
namespace {

float value_at(const Tensor& t, std::int64_t i) {
  return t.dtype == DType::bf16 ? to_float(t.as<bf16>()[i]) : t.as<float>()[i];
}

// The best score of a row; NaN is lower than all others.
float best_of(const Tensor& scores, std::int64_t row) {
  float best = -std::numeric_limits<float>::infinity();
  for (std::int64_t c = 0; c < scores.columns(); ++c) {
    best = std::max(best, value_at(scores, row * scores.row_stride() + c));  // max(best, NaN) is best
  }
  return best;
}

}  // namespace

void choose_top_rows(const Tensor& scores, std::int64_t pages, std::int64_t count, std::int32_t* indices) {
  const std::int64_t rows = scores.rows() / pages;
  GLMOCR_CHECK(rows * pages == scores.rows() && count <= rows);
  std::vector<float> best(rows);
  std::vector<std::int32_t> order(rows);
  for (std::int64_t page = 0; page < pages; ++page) {
    for (std::int64_t r = 0; r < rows; ++r) best[r] = best_of(scores, page * rows + r);
    std::iota(order.begin(), order.end(), 0);
    std::partial_sort(order.begin(), order.begin() + count, order.end(), [&](std::int32_t a, std::int32_t b) {
      return best[a] != best[b] ? best[a] > best[b] : a < b;
    });
    for (std::int64_t i = 0; i < count; ++i) {
      *indices++ = static_cast<std::int32_t>(page * rows + order[i]);
    }
  }
}

void store_box(const PixelBox& box, std::int64_t width, std::int64_t height, float* row) {
  const bool empty = box.x1 == 0;
  const auto share = [&](std::int64_t pixels, std::int64_t length) {
    return empty ? 0.0f : static_cast<float>(pixels) / static_cast<float>(length);
  };
  const float x0 = share(box.x0, width), x1 = share(box.x1, width);
  const float y0 = share(box.y0, height), y1 = share(box.y1, height);
  row[0] = (x0 + x1) / 2;
  row[1] = (y0 + y1) / 2;
  row[2] = x1 - x0;
  row[3] = y1 - y0;
}

}  // namespace glmocr
