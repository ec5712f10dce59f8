// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <limits>

#include "kernels/cpu/cpu_ops.h"
#include "kernels/cpu/values.h"

namespace glmocr::cpu {
namespace {

// The channels of a pixel.
template <class T>
T* pixel(const Tensor& t, std::int64_t page, std::int64_t y, std::int64_t x) {
  return t.as<T>() + page * t.strides[0] + y * t.strides[1] + x * t.strides[2];
}

template <class Body>
void with_type_of(const Tensor& t, Body body) {
  if (t.dtype == DType::bf16) return body(bf16{});
  body(float{});
}

template <class T>
void pool_pixel(const Tensor& x, const Window& window, std::int64_t page, std::int64_t row,
                std::int64_t column, T* out) {
  const std::int64_t channels = x.size(3), top = row * window.stride - window.top,
                     left = column * window.stride - window.left;
  bool first = true;
  for (std::int64_t y = std::max<std::int64_t>(top, 0); y < std::min(top + window.height, x.size(1)); ++y) {
    for (std::int64_t c = std::max<std::int64_t>(left, 0); c < std::min(left + window.width, x.size(2));
         ++c) {
      const T* from = pixel<T>(x, page, y, c);
      for (std::int64_t i = 0; i < channels; ++i) {
        const bool larger = !(to_float(from[i]) <= to_float(out[i]));  // NaN stays NaN
        out[i] = first || larger ? from[i] : out[i];
      }
      first = false;
    }
  }
  if (first) std::fill_n(out, channels, from_float<T>(-std::numeric_limits<float>::infinity()));
}

// Bilinear enlargement takes a quarter of the one and three quarters of the other of two neighbours. The edge
// has itself for a neighbour.
struct Neighbours {
  std::int64_t low, high;
  float share;  // of `high`
};
Neighbours neighbours(std::int64_t enlarged, std::int64_t length) {
  const std::int64_t middle = enlarged / 2;
  if (enlarged % 2 == 1) return {middle, std::min(middle + 1, length - 1), 0.25f};
  return middle == 0 ? Neighbours{0, std::min<std::int64_t>(1, length - 1), 0.0f}
                     : Neighbours{middle - 1, middle, 0.75f};
}

template <class T>
void enlarge_row(const Tensor& x, const EnlargeOptions& options, std::int64_t page, std::int64_t row,
                 const Tensor& y) {
  const std::int64_t channels = x.size(3);
  const Neighbours v = neighbours(row, x.size(1));
  for (std::int64_t column = 0; column < y.size(2); ++column) {
    T* out = pixel<T>(y, page, row, column);
    const T* residual = options.residual ? pixel<T>(options.residual, page, row, column) : nullptr;
    const auto put = [&](std::int64_t c, float value) {
      if (residual) value = to_float(from_float<T>(value)) + to_float(residual[c]);
      out[c] = from_float<T>(value);
    };
    if (options.kind == Enlargement::nearest) {
      const T* from = pixel<T>(x, page, row / 2, column / 2);
      for (std::int64_t c = 0; c < channels; ++c) put(c, to_float(from[c]));
      continue;
    }
    const Neighbours h = neighbours(column, x.size(2));
    const T* corners[4] = {pixel<T>(x, page, v.low, h.low), pixel<T>(x, page, v.low, h.high),
                           pixel<T>(x, page, v.high, h.low), pixel<T>(x, page, v.high, h.high)};
    for (std::int64_t c = 0; c < channels; ++c) {
      const float upper = (1 - h.share) * to_float(corners[0][c]) + h.share * to_float(corners[1][c]);
      const float lower = (1 - h.share) * to_float(corners[2][c]) + h.share * to_float(corners[3][c]);
      put(c, (1 - v.share) * upper + v.share * lower);
    }
  }
}

}  // namespace

Tensor CpuOps::max_pool(const Tensor& x, const Window& window, const Tensor& out) {
  GLMOCR_CHECK(x.rank() == 4 && is_compute_type(x.dtype));
  const std::int64_t height = window.out_height(x.size(1)), width = window.out_width(x.size(2));
  const Tensor y = output(out, {x.size(0), height, width, x.size(3)}, x.dtype);
  parallel(x.size(0) * height, width * x.size(3) * size_of(x.dtype),
           [&](std::int64_t begin, std::int64_t end) {
             with_type_of(x, [&](auto tag) {
               using T = decltype(tag);
               for (std::int64_t row = begin; row < end; ++row) {
                 for (std::int64_t column = 0; column < width; ++column) {
                   pool_pixel<T>(x, window, row / height, row % height, column,
                                 pixel<T>(y, row / height, row % height, column));
                 }
               }
             });
           });
  return y;
}

Tensor CpuOps::enlarge(const Tensor& x, const EnlargeOptions& options) {
  const std::int64_t height = 2 * x.size(1);
  GLMOCR_CHECK(x.rank() == 4 && is_compute_type(x.dtype));
  const Tensor y = output(options.out, {x.size(0), height, 2 * x.size(2), x.size(3)}, x.dtype);
  GLMOCR_CHECK(!options.residual || (options.residual.shape == y.shape && options.residual.dtype == y.dtype));
  parallel(x.size(0) * height, y.size(2) * x.size(3) * size_of(x.dtype),
           [&](std::int64_t begin, std::int64_t end) {
             with_type_of(x, [&](auto tag) {
               for (std::int64_t row = begin; row < end; ++row) {
                 enlarge_row<decltype(tag)>(x, options, row / height, row % height, y);
               }
             });
           });
  return y;
}

Tensor CpuOps::add(const Tensor& x, const Tensor& y) {
  const std::int64_t rows = x.rows(), width = x.columns(), repeat = y.rows();
  GLMOCR_CHECK(is_compute_type(x.dtype) && y.dtype == x.dtype && y.columns() == width && rows % repeat == 0);
  const Tensor sum = device_.scratch({rows, width}, x.dtype);
  const std::int64_t x_stride = x.row_stride(), y_stride = y.row_stride();
  parallel(rows, 3 * width * size_of(x.dtype), [&](std::int64_t begin, std::int64_t end) {
    with_type_of(x, [&](auto tag) {
      using T = decltype(tag);
      for (std::int64_t r = begin; r < end; ++r) {
        const T *a = x.as<T>() + r * x_stride, *b = y.as<T>() + r % repeat * y_stride;
        T* to = sum.as<T>() + r * width;
        for (std::int64_t c = 0; c < width; ++c) to[c] = from_float<T>(to_float(a[c]) + to_float(b[c]));
      }
    });
  });
  return sum;
}

}  // namespace glmocr::cpu
