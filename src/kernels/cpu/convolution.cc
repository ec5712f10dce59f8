// SPDX-License-Identifier: Apache-2.0
#include "kernels/cpu/convolution.h"

#include <algorithm>

#include "base/numbers.h"
#include "kernels/cpu/cpu_ops.h"
#include "kernels/cpu/thread_scratch.h"
#include "kernels/cpu/values.h"

namespace glmocr::cpu {
namespace {

float matrix_value(const Tensor& matrix, std::int64_t i) {
  switch (matrix.dtype) {
    case DType::bf16:
      return to_float(matrix.as<bf16>()[i]);
    case DType::f16:
      return to_float(matrix.as<f16>()[i]);
    default:
      return matrix.as<float>()[i];
  }
}

}  // namespace

// A convolution as products: for a tile of the result the picture under it is copied with its padding, widened
// to fp32; then the values under a row of a window are contiguous, and the micro-kernel reads them in place. A
// window of one pixel reads the map itself.
struct CpuOps::Convolution {
  const KernelTable& kernels;
  Tensor x;
  const Weight& weight;
  Window window;
  const ConvolutionOptions& options;
  Tensor y;
  std::int64_t channels, columns;  // columns: of one part of the result
  std::int64_t rows_at_once, pixels_at_once;

  bool in_place() const { return window.height == 1 && window.width == 1 && x.dtype == DType::f32; }
  std::int64_t run() const { return window.width * channels; }
  std::int64_t row_floats(std::int64_t pixels) const {
    return ((pixels - 1) * window.stride + window.width) * channels;
  }
  std::int64_t picture_floats() const {
    if (in_place()) return 0;
    return round_up<std::int64_t>(
        ((rows_at_once - 1) * window.stride + window.height) * row_floats(pixels_at_once), 16);
  }
  std::int64_t block_columns() const { return std::min(columns, 4 * kernels.gemm_columns); }
  std::int64_t tile_floats() const {
    return rows_at_once * pixels_at_once * round_up(block_columns(), kernels.gemm_columns);
  }

  void copy_picture(const Tensor& page, const Tile& tile, float* to) const;
  void run_tile(const Tile& tile, std::int64_t first_column) const;
};

// The part of the picture under a tile: rows of row_floats values.
void CpuOps::Convolution::copy_picture(const Tensor& page, const Tile& tile, float* to) const {
  const std::int64_t first_row = tile.y0 * window.stride - window.top;
  const std::int64_t rows = (tile.y1 - tile.y0 - 1) * window.stride + window.height;
  const std::int64_t first = tile.x0 * window.stride - window.left;
  const std::int64_t pixels = row_floats(tile.x1 - tile.x0) / channels;
  const std::int64_t begin = std::clamp<std::int64_t>(-first, 0, pixels);
  const std::int64_t end = std::clamp<std::int64_t>(page.size(2) - first, begin, pixels);
  for (std::int64_t r = 0; r < rows; ++r, to += pixels * channels) {
    const std::int64_t row = first_row + r;
    if (row < 0 || row >= page.size(1) || begin == end) {
      std::fill_n(to, pixels * channels, 0.0f);
      continue;
    }
    std::fill_n(to, begin * channels, 0.0f);
    std::fill_n(to + end * channels, (pixels - end) * channels, 0.0f);
    const auto copy = [&](std::int64_t pixel, std::int64_t count) {
      kernels.convert(to + pixel * channels, Type::f32, at(page, pixel_offset(page, row, first + pixel)),
                      type_of(page.dtype), count);
    };
    if (page.strides[2] == channels) {
      copy(begin, (end - begin) * channels);
    } else {
      for (std::int64_t pixel = begin; pixel < end; ++pixel) copy(pixel, channels);
    }
  }
}

// The columns [first_column, first_column + columns) of a tile.
void CpuOps::Convolution::run_tile(const Tile& tile, std::int64_t first_column) const {
  const std::int64_t rows = tile.y1 - tile.y0, pixels = tile.x1 - tile.x0;
  const std::int64_t last_column = std::min(first_column + columns, weight.out_features);
  float* picture = thread_floats(picture_floats() + tile_floats());
  float* sums = picture + picture_floats();
  const Tensor in = page_of(x, tile.page), out = page_of(y, tile.page);
  const Tensor residual = page_of(options.residual, tile.page);
  ConvolutionTask task{};
  task.runs = window.height;
  task.run = run();
  task.rows = rows;
  task.pixels = pixels;
  task.c = sums;
  if (in_place()) {
    task.a = in.as<float>() + pixel_offset(in, tile.y0 * window.stride, tile.x0 * window.stride);
    task.pixel_step = in.strides[2] * window.stride;
    task.row_step = in.strides[1] * window.stride;
  } else {
    copy_picture(in, tile, picture);
    task.a = picture;
    task.run_stride = row_floats(pixels);
    task.pixel_step = window.stride * channels;
    task.row_step = window.stride * task.run_stride;
  }
  const auto tile_of = [&](const Tensor& t, std::int64_t column) {
    return at(t, pixel_offset(t, tile.y0, tile.x0) + column);
  };
  for (std::int64_t column = first_column; column < last_column; column += block_columns()) {
    task.columns = std::min(block_columns(), last_column - column);
    task.c_stride = round_up(task.columns, kernels.gemm_columns);
    task.panels = weight.data.as<float>() + column * weight.in_features;
    kernels.convolution(task);
    const float* bias = weight.bias ? weight.bias.as<float>() + column : nullptr;
    ConstRows more{nullptr, 0, Type::f32};
    if (residual) more = {tile_of(residual, column), residual.strides[2], type_of(residual.dtype)};
    kernels.epilogue({rows * pixels,
                      task.columns,
                      {sums, task.c_stride, Type::f32},
                      bias,
                      nonlinearity_of(options.activation),
                      more,
                      {tile_of(out, column), out.strides[2], type_of(out.dtype)}});
  }
}

Tensor CpuOps::convolve(const Tensor& x, const Weight& weight, const Window& window,
                        const ConvolutionOptions& options) {
  GLMOCR_CHECK(is_map(x) && is_compute_type(x.dtype) && weight.use == WeightUse::convolution);
  GLMOCR_CHECK(weight.in_features == window.height * window.width * x.size(3));
  GLMOCR_CHECK(!weight.bias || weight.bias.numel() == weight.out_features);
  const std::int64_t height = window.out_height(x.size(1)), width = window.out_width(x.size(2));
  const Tensor y = output(options.out, {x.size(0), height, width, weight.out_features},
                          options.out ? options.out.dtype : x.dtype);
  GLMOCR_CHECK(is_map(y) && has_even_rows(y));
  GLMOCR_CHECK(!options.residual || (options.residual.shape == y.shape && options.residual.dtype == y.dtype &&
                                     has_even_rows(options.residual)));
  if (weight.layout == WeightLayout::pairs) {
    convolve_pairs(x, weight, window, options, y);
  } else {
    convolve_panels(x, weight, window, options, y);
  }
  return y;
}

void CpuOps::convolve_panels(const Tensor& x, const Weight& weight, const Window& window,
                             const ConvolutionOptions& options, const Tensor& y) {
  const std::int64_t height = y.size(1), width = y.size(2);
  constexpr std::int64_t kPictureFloats = 64 << 10, kPixels = 128;
  const std::int64_t unit = kernels_.gemm_columns, parts_wanted = 3 * std::int64_t{device_.threads()};
  Convolution c{kernels_, x, weight, window, options, y, x.size(3), weight.out_features, 1, width};
  if (c.in_place()) {
    c.pixels_at_once = std::min(width, kPixels);
    c.rows_at_once = std::clamp<std::int64_t>(kPixels / width, 1, height);
  } else {
    c.rows_at_once = std::clamp<std::int64_t>(
        kPictureFloats / c.row_floats(width) / window.stride - window.height + 1, 1, height);
  }
  while (c.rows_at_once > 1 && x.size(0) * divide_up(height, c.rows_at_once) < parts_wanted) {
    c.rows_at_once = divide_up<std::int64_t>(c.rows_at_once, 2);
  }
  const std::int64_t down = divide_up(height, c.rows_at_once), across = divide_up(width, c.pixels_at_once);
  const std::int64_t tiles = x.size(0) * down * across;
  const std::int64_t panels = divide_up(weight.out_features, unit);
  const std::int64_t parts =
      std::clamp<std::int64_t>(divide_up(parts_wanted, std::max<std::int64_t>(tiles, 1)), 1, panels);
  c.columns = divide_up(panels, parts) * unit;
  const std::int64_t column_parts = divide_up(weight.out_features, c.columns);
  const auto body = [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t task = begin; task < end; ++task) {
      const std::int64_t tile = task / column_parts, page = tile / (down * across);
      const std::int64_t y0 = tile / across % down * c.rows_at_once, x0 = tile % across * c.pixels_at_once;
      c.run_tile(
          {page, y0, std::min(y0 + c.rows_at_once, height), x0, std::min(x0 + c.pixels_at_once, width)},
          task % column_parts * c.columns);
    }
  };
  device_.pool().parallel_for(tiles * column_parts, 1, std::ref(body));
}

Tensor CpuOps::convolve_depthwise(const Tensor& x, const Tensor& weight, const Tensor& bias,
                                  const Window& window, const ConvolutionOptions& options) {
  const std::int64_t channels = x.size(3), taps = std::int64_t{window.height} * window.width;
  const std::int64_t height = window.out_height(x.size(1)), width = window.out_width(x.size(2));
  constexpr std::int64_t kMostTaps = 49;
  GLMOCR_CHECK(is_map(x) && is_compute_type(x.dtype) && taps <= kMostTaps && !options.residual);
  GLMOCR_CHECK((weight.shape == Shape{taps, channels}) && bias.numel() == channels);
  const Tensor y = output(options.out, {x.size(0), height, width, channels}, x.dtype);
  GLMOCR_CHECK(is_map(y));
  const auto pixel = [&](std::int64_t page, std::int64_t row, std::int64_t column) {
    DepthwiseTap under[kMostTaps];
    std::int64_t count = 0;
    for (std::int64_t tap = 0; tap < taps; ++tap) {
      const std::int64_t from_row = row * window.stride - window.top + tap / window.width;
      const std::int64_t from_column = column * window.stride - window.left + tap % window.width;
      if (from_row < 0 || from_row >= x.size(1) || from_column < 0 || from_column >= x.size(2)) continue;
      under[count++] = {at(x, page * x.strides[0] + pixel_offset(x, from_row, from_column)),
                        weight.as<float>() + tap * channels};
    }
    kernels_.depthwise({under, count, channels, bias.as<float>(), nonlinearity_of(options.activation),
                        type_of(x.dtype), at(y, page * y.strides[0] + pixel_offset(y, row, column))});
  };
  parallel(x.size(0) * height, width * channels * size_of(x.dtype),
           [&](std::int64_t begin, std::int64_t end) {
             for (std::int64_t row = begin; row < end; ++row) {
               for (std::int64_t column = 0; column < width; ++column)
                 pixel(row / height, row % height, column);
             }
           });
  return y;
}

void pack_panels(const Tensor& matrix, const Tensor& panels) {
  const std::int64_t out = matrix.size(0), in = matrix.size(1), width = panels.size(2);
  float* to = panels.as<float>();
  for (std::int64_t panel = 0; panel < panels.size(0); ++panel) {
    for (std::int64_t i = 0; i < in; ++i) {
      for (std::int64_t lane = 0; lane < width; ++lane) {
        const std::int64_t row = panel * width + lane;
        *to++ = row < out ? matrix_value(matrix, row * in + i) : 0.0f;
      }
    }
  }
}

}  // namespace glmocr::cpu
