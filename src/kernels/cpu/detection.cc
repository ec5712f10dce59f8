// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <cmath>

#include "kernels/cpu/cpu_ops.h"
#include "kernels/cpu/thread_scratch.h"
#include "kernels/cpu/values.h"
#include "kernels/host/top_rows.h"

namespace glmocr::cpu {
namespace {

constexpr std::int64_t kMostSamples = 64;  // levels · points of one head

float value(const Tensor& t, std::int64_t i) {
  return t.dtype == DType::bf16 ? to_float(t.as<bf16>()[i]) : t.as<float>()[i];
}

// One head of one query: samples and their weights. A row of the values is a pixel's channels of all heads.
struct Sampler {
  const Tensor& values;
  const DeformableQueries& queries;
  std::int64_t rows_per_page, queries_per_page, samples;

  void run(std::int64_t query, std::int64_t head, std::int64_t dim, float* sums) const;

 private:
  void add_pixel(std::int64_t row, std::int64_t channel, std::int64_t dim, float weight, float* sums) const {
    const std::int64_t first = row * values.row_stride() + channel;
    if (values.dtype == DType::f32) {
      const float* from = values.as<float>() + first;
      for (std::int64_t d = 0; d < dim; ++d) sums[d] += weight * from[d];
    } else {
      const bf16* from = values.as<bf16>() + first;
      for (std::int64_t d = 0; d < dim; ++d) sums[d] += weight * to_float(from[d]);
    }
  }
};

void Sampler::run(std::int64_t query, std::int64_t head, std::int64_t dim, float* sums) const {
  std::array<float, kMostSamples> weights;
  const std::int64_t first_weight = query * queries.weights.row_stride() + head * samples;
  for (std::int64_t s = 0; s < samples; ++s) weights[s] = value(queries.weights, first_weight + s);
  const float largest = *std::max_element(weights.begin(), weights.begin() + samples);
  float total = 0;
  for (std::int64_t s = 0; s < samples; ++s) total += weights[s] = std::exp(weights[s] - largest);

  std::fill_n(sums, dim, 0.0f);
  const float* box = queries.boxes.as<float>() + 4 * query;
  const std::int64_t first_offset = query * queries.offsets.row_stride() + 2 * head * samples;
  for (std::int64_t s = 0; s < samples; ++s) {
    const MapLevel& level = queries.levels[s / queries.points];
    const auto place = [&](int axis, std::int64_t length) {
      const float offset = value(queries.offsets, first_offset + 2 * s + axis);
      const float points = static_cast<float>(queries.points);
      return (box[axis] + offset / points * box[2 + axis] * 0.5f) * static_cast<float>(length) - 0.5f;
    };
    const float x = place(0, level.width), y = place(1, level.height);
    // Written so that NaN fails too.
    if (!(x > -1 && y > -1 && x < static_cast<float>(level.width) && y < static_cast<float>(level.height)))
      continue;
    const float left = std::floor(x), top = std::floor(y), right_share = x - left, low_share = y - top;
    const auto column = static_cast<std::int64_t>(left), row = static_cast<std::int64_t>(top);
    const std::int64_t page = query / queries_per_page * rows_per_page + level.first;
    const float weight = weights[s] / total;
    const auto corner = [&](std::int64_t dy, std::int64_t dx, float share) {
      if (row + dy < 0 || row + dy >= level.height || column + dx < 0 || column + dx >= level.width) return;
      add_pixel(page + (row + dy) * level.width + column + dx, head * dim, dim, weight * share, sums);
    };
    corner(0, 0, (1 - low_share) * (1 - right_share));
    corner(0, 1, (1 - low_share) * right_share);
    corner(1, 0, low_share * (1 - right_share));
    corner(1, 1, low_share * right_share);
  }
}

float logit(float box) {
  const float clamped = std::clamp(box, 0.0f, 1.0f);
  return std::log(std::max(clamped, 1e-5f) / std::max(1 - clamped, 1e-5f));
}

}  // namespace

Tensor CpuOps::deformable_attention(const Tensor& values, std::int64_t pages,
                                    const DeformableQueries& queries) {
  const std::int64_t n = queries.boxes.size(0), width = values.columns(), dim = width / queries.heads;
  const std::int64_t samples = std::ssize(queries.levels) * queries.points;
  GLMOCR_CHECK(is_compute_type(values.dtype) && samples <= kMostSamples && dim * queries.heads == width);
  GLMOCR_CHECK(n % pages == 0 && values.rows() % pages == 0 && queries.boxes.is_contiguous());
  GLMOCR_CHECK(queries.weights.columns() == queries.heads * samples && queries.weights.rows() == n);
  GLMOCR_CHECK(queries.offsets.columns() == 2 * queries.heads * samples && queries.offsets.rows() == n);
  const Sampler sampler{values, queries, values.rows() / pages, n / pages, samples};
  const Tensor y = device_.scratch({n, width}, values.dtype);
  parallel(n, 4 * samples * width * size_of(values.dtype), [&](std::int64_t begin, std::int64_t end) {
    float* sums = thread_floats(dim);
    for (std::int64_t q = begin; q < end; ++q) {
      for (std::int64_t head = 0; head < queries.heads; ++head) {
        sampler.run(q, head, dim, sums);
        kernels_.convert(at(y, q * width + head * dim), type_of(y.dtype), sums, Type::f32, dim);
      }
    }
  });
  return y;
}

Tensor CpuOps::top_rows(const Tensor& scores, std::int64_t pages, std::int64_t count) {
  const Tensor indices = device_.scratch({pages * count}, DType::i32);
  choose_top_rows(scores, pages, count, indices.as<std::int32_t>());
  return indices;
}

Tensor CpuOps::mask_boxes(const Tensor& queries, const Tensor& map) {
  const std::int64_t pages = map.size(0), height = map.size(1), width = map.size(2), channels = map.size(3);
  const std::int64_t n = queries.rows(), per_page = n / pages;
  GLMOCR_CHECK(is_compute_type(map.dtype) && queries.dtype == map.dtype && queries.columns() == channels);
  GLMOCR_CHECK(n % pages == 0 && map.is_contiguous());
  const Tensor boxes = device_.scratch({n, 4}, DType::f32);
  const std::int64_t unit = kernels_.gemm_columns;
  // A task takes a panel of queries over the whole map, row by row: nothing has to be merged.
  const std::int64_t parts = (per_page + unit - 1) / unit, sum_floats = width * unit;
  const auto body = [&](std::int64_t begin, std::int64_t end) {
    float* sums = thread_floats(sum_floats + kernels_.gemm_scratch(width));
    for (std::int64_t task = begin; task < end; ++task) {
      const std::int64_t page = task / parts, first = page * per_page + task % parts * unit;
      const std::int64_t count = std::min(unit, (page + 1) * per_page - first);
      std::array<PixelBox, 64> found;
      found.fill({width, height, 0, 0});
      for (std::int64_t y = 0; y < height; ++y) {
        const ConstRows pixels{at(map, (page * height + y) * width * channels), channels, type_of(map.dtype)};
        kernels_.gemm(
            {pixels, const_rows(queries, first), width, count, channels, sums, unit, sums + sum_floats});
        for (std::int64_t x = 0; x < width; ++x) {
          for (std::int64_t q = 0; q < count; ++q) {
            if (!(sums[x * unit + q] > 0)) continue;
            PixelBox& box = found[q];
            box = {std::min(box.x0, x), std::min(box.y0, y), std::max(box.x1, x + 1), y + 1};
          }
        }
      }
      for (std::int64_t q = 0; q < count; ++q) {
        store_box(found[q], width, height, boxes.as<float>() + 4 * (first + q));
      }
    }
  };
  GLMOCR_CHECK(unit <= 64);
  device_.pool().parallel_for(pages * parts, 1, std::ref(body));
  return boxes;
}

Tensor CpuOps::refine_boxes(const Tensor& boxes, const Tensor& deltas) {
  GLMOCR_CHECK(boxes.is_contiguous() && boxes.columns() == 4 && (!deltas || deltas.shape == boxes.shape));
  const Tensor y = device_.scratch(boxes.shape, DType::f32);
  for (std::int64_t i = 0; i < boxes.numel(); ++i) {
    const float delta = deltas ? value(deltas, i / 4 * deltas.row_stride() + i % 4) : 0.0f;
    y.as<float>()[i] = 1 / (1 + std::exp(-(logit(boxes.as<float>()[i]) + delta)));
  }
  return y;
}

}  // namespace glmocr::cpu
