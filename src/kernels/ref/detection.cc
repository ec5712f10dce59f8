// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/host/top_rows.h"
#include "kernels/ref/ref_ops.h"
#include "kernels/ref/values.h"

namespace glmocr::ref {
namespace {

double logit(double box) {
  const double clamped = std::clamp(box, 0.0, 1.0);
  return std::log(std::max(clamped, 1e-5) / std::max(1 - clamped, 1e-5));
}

// The softmax of `count` values.
std::vector<double> softmax(const Tensor& t, std::int64_t first, std::int64_t count) {
  std::vector<double> values(count);
  for (std::int64_t i = 0; i < count; ++i) values[i] = get(t, first + i);
  const double largest = *std::max_element(values.begin(), values.end());
  double sum = 0;
  for (double& value : values) sum += value = std::exp(value - largest);
  for (double& value : values) value /= sum;
  return values;
}

// A map whose pixels are rows of `values` from `first` on.
double value_between(const Tensor& values, std::int64_t first, const MapLevel& level, double x, double y,
                     std::int64_t channel) {
  const double left = std::floor(x), top = std::floor(y);
  double sum = 0;
  for (int dy = 0; dy < 2; ++dy) {
    for (int dx = 0; dx < 2; ++dx) {
      const double column = left + dx, row = top + dy;
      if (!(column >= 0 && column < level.width && row >= 0 && row < level.height)) continue;
      const std::int64_t pixel =
          first + static_cast<std::int64_t>(row) * level.width + static_cast<std::int64_t>(column);
      sum += (1 - std::fabs(x - column)) * (1 - std::fabs(y - row)) *
             get(values, pixel * values.row_stride() + channel);
    }
  }
  return sum;
}

}  // namespace

Tensor RefOps::deformable_attention(const Tensor& values, std::int64_t pages,
                                    const DeformableQueries& queries) {
  const std::int64_t n = queries.boxes.size(0), width = values.columns(), dim = width / queries.heads;
  const std::int64_t samples = std::ssize(queries.levels) * queries.points, rows = values.rows() / pages;
  GLMOCR_CHECK(n % pages == 0 && queries.weights.columns() == queries.heads * samples);
  GLMOCR_CHECK(queries.offsets.columns() == 2 * queries.heads * samples);
  const Tensor y = device_.scratch({n, width}, values.dtype);
  for (std::int64_t q = 0; q < n; ++q) {
    const float* box = queries.boxes.as<float>() + 4 * q;
    for (std::int64_t head = 0; head < queries.heads; ++head) {
      const std::vector<double> weights =
          softmax(queries.weights, q * queries.weights.row_stride() + head * samples, samples);
      for (std::int64_t d = 0; d < dim; ++d) {
        double sum = 0;
        for (std::int64_t s = 0; s < samples; ++s) {
          const MapLevel& level = queries.levels[s / queries.points];
          const auto place = [&](int axis, std::int64_t length) {
            const std::int64_t at = q * queries.offsets.row_stride() + 2 * (head * samples + s) + axis;
            const double offset = get(queries.offsets, at);
            return (box[axis] + offset / queries.points * box[2 + axis] * 0.5) * length - 0.5;
          };
          const std::int64_t first = q / (n / pages) * rows + level.first;
          sum += weights[s] * value_between(values, first, level, place(0, level.width),
                                            place(1, level.height), head * dim + d);
        }
        put(y, q * width + head * dim + d, sum);
      }
    }
  }
  return y;
}

Tensor RefOps::top_rows(const Tensor& scores, std::int64_t pages, std::int64_t count) {
  const Tensor indices = device_.scratch({pages * count}, DType::i32);
  choose_top_rows(scores, pages, count, indices.as<std::int32_t>());
  return indices;
}

Tensor RefOps::mask_boxes(const Tensor& queries, const Tensor& map) {
  const std::int64_t pages = map.size(0), height = map.size(1), width = map.size(2), channels = map.size(3);
  const std::int64_t n = queries.rows();
  GLMOCR_CHECK(n % pages == 0 && queries.columns() == channels);
  const Tensor boxes = device_.scratch({n, 4}, DType::f32);
  for (std::int64_t q = 0; q < n; ++q) {
    std::int64_t x0 = width, y0 = height, x1 = 0, y1 = 0;
    for (std::int64_t y = 0; y < height; ++y) {
      for (std::int64_t x = 0; x < width; ++x) {
        double sum = 0;
        for (std::int64_t c = 0; c < channels; ++c) {
          sum += double{get(queries, q * queries.row_stride() + c)} *
                 get(map, q / (n / pages) * map.strides[0] + y * map.strides[1] + x * map.strides[2] + c);
        }
        if (!(static_cast<float>(sum) > 0)) continue;
        x0 = std::min(x0, x), y0 = std::min(y0, y);
        x1 = std::max(x1, x + 1), y1 = std::max(y1, y + 1);
      }
    }
    store_box({x0, y0, x1, y1}, width, height, boxes.as<float>() + 4 * q);
  }
  return boxes;
}

Tensor RefOps::refine_boxes(const Tensor& boxes, const Tensor& deltas) {
  GLMOCR_CHECK(boxes.is_contiguous() && (!deltas || deltas.shape == boxes.shape));
  const Tensor y = device_.scratch(boxes.shape, DType::f32);
  for (std::int64_t i = 0; i < boxes.numel(); ++i) {
    const double delta = deltas ? get(deltas, i / 4 * deltas.row_stride() + i % 4) : 0;
    put(y, i, 1 / (1 + std::exp(-(logit(boxes.as<float>()[i]) + delta))));
  }
  return y;
}

}  // namespace glmocr::ref
