// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/ref/ref_ops.h"
#include "kernels/ref/values.h"

namespace glmocr::ref {
namespace {

float at(const Tensor& t, std::int64_t page, std::int64_t y, std::int64_t x, std::int64_t channel) {
  return get(t, page * t.strides[0] + y * t.strides[1] + x * t.strides[2] + channel);
}

// Where the middle of an enlarged pixel lies between two pixels of the map: 0.25 or 0.75 of the way.
struct Between {
  std::int64_t low, high;
  double share;  // of `high`
};

Between between(std::int64_t enlarged, std::int64_t length) {
  const double place = std::max(0.0, (enlarged + 0.5) / 2 - 0.5);
  const auto low = static_cast<std::int64_t>(place);
  return {low, std::min(low + 1, length - 1), place - low};
}

float enlarged_value(const Tensor& x, Enlargement kind, std::int64_t page, std::int64_t row,
                     std::int64_t column, std::int64_t channel) {
  if (kind == Enlargement::nearest) return at(x, page, row / 2, column / 2, channel);
  const Between v = between(row, x.size(1)), h = between(column, x.size(2));
  const auto line = [&](std::int64_t y) {
    return (1 - h.share) * at(x, page, y, h.low, channel) + h.share * at(x, page, y, h.high, channel);
  };
  return (1 - v.share) * line(v.low) + v.share * line(v.high);
}

}  // namespace

Tensor RefOps::max_pool(const Tensor& x, const Window& window, const Tensor& out) {
  const Tensor y =
      output(out, {x.size(0), window.out_height(x.size(1)), window.out_width(x.size(2)), x.size(3)}, x.dtype);
  for (std::int64_t i = 0; i < y.numel(); ++i) {
    const std::int64_t channel = i % y.size(3), pixel = i / y.size(3), column = pixel % y.size(2);
    const std::int64_t row = pixel / y.size(2) % y.size(1), page = pixel / y.size(2) / y.size(1);
    const std::int64_t top = row * window.stride - window.top, left = column * window.stride - window.left;
    float best = -std::numeric_limits<float>::infinity();
    for (std::int64_t r = std::max<std::int64_t>(top, 0); r < std::min(top + window.height, x.size(1)); ++r) {
      for (std::int64_t c = std::max<std::int64_t>(left, 0); c < std::min(left + window.width, x.size(2));
           ++c) {
        const float value = at(x, page, r, c, channel);
        if (!(value <= best)) best = value;  // NaN stays NaN
      }
    }
    put(y, page * y.strides[0] + row * y.strides[1] + column * y.strides[2] + channel, best);
  }
  return y;
}

Tensor RefOps::enlarge(const Tensor& x, const EnlargeOptions& options) {
  const Tensor y = output(options.out, {x.size(0), 2 * x.size(1), 2 * x.size(2), x.size(3)}, x.dtype);
  for (std::int64_t i = 0; i < y.numel(); ++i) {
    const std::int64_t channel = i % y.size(3), pixel = i / y.size(3), column = pixel % y.size(2);
    const std::int64_t row = pixel / y.size(2) % y.size(1), page = pixel / y.size(2) / y.size(1);
    float value = enlarged_value(x, options.kind, page, row, column, channel);
    if (options.residual) value = rounded(x.dtype, value) + at(options.residual, page, row, column, channel);
    put(y, page * y.strides[0] + row * y.strides[1] + column * y.strides[2] + channel, value);
  }
  return y;
}

Tensor RefOps::add(const Tensor& x, const Tensor& y) {
  GLMOCR_CHECK(y.columns() == x.columns() && y.dtype == x.dtype && x.rows() % y.rows() == 0);
  const Tensor sum = device_.scratch({x.rows(), x.columns()}, x.dtype);
  for (std::int64_t r = 0; r < x.rows(); ++r) {
    for (std::int64_t c = 0; c < x.columns(); ++c) {
      put(sum, r * x.columns() + c,
          get(x, r * x.row_stride() + c) + get(y, r % y.rows() * y.row_stride() + c));
    }
  }
  return sum;
}

}  // namespace glmocr::ref
