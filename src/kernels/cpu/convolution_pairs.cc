// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstring>

#include "base/numbers.h"
#include "kernels/cpu/convolution.h"
#include "kernels/cpu/cpu_ops.h"
#include "kernels/cpu/thread_scratch.h"
#include "kernels/cpu/values.h"

// Convolutions in bf16, as products in pairs.
namespace glmocr::cpu {
namespace {

constexpr std::int64_t kBytes = size_of(DType::bf16);

// Copies pixels of one row of a page to neighbouring places; zeros for those outside.
void copy_pixels(const Tensor& page, std::int64_t row, std::int64_t first, std::int64_t count,
                 std::byte* to) {
  const std::int64_t pixel_bytes = page.size(3) * kBytes;
  if (row < 0 || row >= page.size(1)) {
    std::memset(to, 0, count * pixel_bytes);
    return;
  }
  const std::int64_t begin = std::clamp<std::int64_t>(-first, 0, count);
  const std::int64_t end = std::clamp<std::int64_t>(page.size(2) - first, begin, count);
  std::memset(to, 0, begin * pixel_bytes);
  if (page.strides[2] == page.size(3)) {
    if (begin < end)
      std::memcpy(to + begin * pixel_bytes, at(page, pixel_offset(page, row, first + begin)),
                  (end - begin) * pixel_bytes);
  } else {
    for (std::int64_t p = begin; p < end; ++p) {
      std::memcpy(to + p * pixel_bytes, at(page, pixel_offset(page, row, first + p)), pixel_bytes);
    }
  }
  std::memset(to + end * pixel_bytes, 0, (count - end) * pixel_bytes);
}

}  // namespace

// What a row of a window holds is contiguous in the picture. Where it is a multiple of pair_depth, products read the
// picture itself: the map, where the window is one pixel, or a copy with its padding. Otherwise the values under each window
// are gathered.
struct CpuOps::PairConvolution {
  enum class Source { map, picture, windows };

  const KernelTable& kernels;
  const Tensor& x;
  const Weight& weight;
  const Window& window;
  const ConvolutionOptions& options;
  const Tensor& y;
  Source source = Source::windows;
  std::int64_t rows_at_once = 1;    // of the picture
  std::int64_t pixels_at_once = 1;  // along the rows of the result, of the other sources

  std::int64_t channels() const { return x.size(3); }
  std::int64_t depth() const { return round_up(weight.in_features, kernels.pair_depth); }
  // Between gathered windows: no power of two, so that they do not share cache sets.
  std::int64_t pitch() const { return depth() + kernels.pair_depth; }
  std::int64_t whole(std::int64_t pixels) const { return round_up(pixels, kernels.pair_rows); }

  // Pixels of a row of the picture, and from one row of the sums to the next. With stride 1 rows of the result follow each
  // other as those of the picture do, with some pixels between them that are not used.
  std::int64_t picture_width() const { return (y.size(2) - 1) * window.stride + window.width; }
  std::int64_t line() const { return window.stride == 1 ? picture_width() : whole(y.size(2)); }
  std::int64_t picture_rows(std::int64_t rows) const { return (rows - 1) * window.stride + window.height; }
  // Whole groups of pixels reach beyond the picture.
  std::int64_t beyond() const {
    return kernels.pair_rows * window.stride * channels() + window.width * channels();
  }

  std::int64_t sum_rows() const {
    return source == Source::picture ? whole(rows_at_once * line()) : whole(pixels_at_once);
  }
  std::int64_t source_bytes() const {
    std::int64_t values = sum_rows() * pitch();
    if (source == Source::picture) {
      values = picture_rows(rows_at_once) * picture_width() * channels() + beyond();
    }
    return round_up<std::int64_t>(values * kBytes, 64);
  }
  std::int64_t block_columns() const { return 8 * kernels.pair_columns; }

  void choose();
  std::int64_t tiles() const {
    return source == Source::picture ? divide_up(y.size(1), rows_at_once)
                                     : divide_up(y.size(1) * y.size(2), pixels_at_once);
  }
  void run(std::int64_t page, std::int64_t tile, std::int64_t column, std::int64_t end) const;
  void run_picture(std::int64_t page, std::int64_t tile, std::int64_t column, std::int64_t end) const;
  void run_pixels(std::int64_t page, std::int64_t tile, std::int64_t column, std::int64_t end) const;
  void multiply(PairConvolutionTask task, std::int64_t column, std::int64_t columns) const;
  void finish(std::int64_t page, std::int64_t first, std::int64_t count, std::int64_t column,
              std::int64_t columns, const float* sums) const;
  void gather(const Tensor& page, std::int64_t first, std::int64_t count, std::byte* to) const;
};

void CpuOps::PairConvolution::choose() {
  constexpr std::int64_t kPictureValues = 128 << 10, kPixels = 128;
  const bool one = window.height == 1 && window.width == 1 && window.stride == 1;
  const bool straight = window.width * channels() % kernels.pair_depth == 0;
  const bool apart = x.strides[2] * kBytes % 1024 != 0;  // pixels do not share cache sets
  if (straight && one && apart && has_even_rows(x)) {
    source = Source::map;
  } else if (straight && !one) {
    source = Source::picture;
    rows_at_once = std::clamp<std::int64_t>(
        (kPictureValues / (picture_width() * channels()) - window.height) / window.stride + 1, 1, y.size(1));
    return;
  }
  pixels_at_once = kPixels / kernels.pair_rows * kernels.pair_rows;
}

// The values under the windows of the pixels [first, first + count) of a page, pitch() values apart.
void CpuOps::PairConvolution::gather(const Tensor& page, std::int64_t first, std::int64_t count,
                                     std::byte* to) const {
  const std::int64_t rest = (pitch() - weight.in_features) * kBytes;
  for (std::int64_t pixel = first; pixel < first + count; ++pixel) {
    const std::int64_t top = pixel / y.size(2) * window.stride - window.top;
    const std::int64_t left = pixel % y.size(2) * window.stride - window.left;
    for (std::int64_t row = top; row < top + window.height; ++row) {
      copy_pixels(page, row, left, window.width, to);
      to += window.width * channels() * kBytes;
    }
    std::memset(to, 0, rest);
    to += rest;
  }
  std::memset(to, 0, (whole(count) - count) * pitch() * kBytes);
}

void CpuOps::PairConvolution::multiply(PairConvolutionTask task, std::int64_t column,
                                       std::int64_t columns) const {
  task.panels = at(weight.data, column * depth());
  task.columns = columns;
  kernels.pair_convolution(task);
}

// What follows the sums of pixels of a page that are neighbours in the result.
void CpuOps::PairConvolution::finish(std::int64_t page, std::int64_t first, std::int64_t count,
                                     std::int64_t column, std::int64_t columns, const float* sums) const {
  const Tensor out = page_of(y, page), residual = page_of(options.residual, page);
  ConstRows more{nullptr, 0, Type::f32};
  if (residual)
    more = {at(residual, first * residual.strides[2] + column), residual.strides[2], type_of(residual.dtype)};
  kernels.epilogue({count,
                    columns,
                    {sums, block_columns(), Type::f32},
                    weight.bias ? weight.bias.as<float>() + column : nullptr,
                    nonlinearity_of(options.activation),
                    more,
                    {at(out, first * out.strides[2] + column), out.strides[2], type_of(out.dtype)}});
}

void CpuOps::PairConvolution::run(std::int64_t page, std::int64_t tile, std::int64_t column,
                                  std::int64_t end) const {
  source == Source::picture ? run_picture(page, tile, column, end) : run_pixels(page, tile, column, end);
}

void CpuOps::PairConvolution::run_picture(std::int64_t page, std::int64_t tile, std::int64_t column,
                                          std::int64_t end) const {
  std::byte* picture = thread_scratch(source_bytes() + sum_rows() * block_columns() * 4);
  float* sums = reinterpret_cast<float*>(picture + source_bytes());
  const std::int64_t y0 = tile * rows_at_once, rows = std::min(rows_at_once, y.size(1) - y0),
                     width = y.size(2);
  const std::int64_t row_values = picture_width() * channels();
  const Tensor from = page_of(x, page);
  for (std::int64_t r = 0; r < picture_rows(rows); ++r) {
    copy_pixels(from, y0 * window.stride - window.top + r, -window.left, picture_width(),
                picture + r * row_values * kBytes);
  }
  std::memset(picture + picture_rows(rows) * row_values * kBytes, 0, beyond() * kBytes);
  PairConvolutionTask task{};
  task.run_stride = row_values;
  task.pixel_step = window.stride * channels();
  task.runs = window.height;
  task.run = window.width * channels();
  task.c_stride = block_columns();
  // All rows at once, or one after the other.
  const std::int64_t calls = window.stride == 1 ? 1 : rows;
  task.pixels = window.stride == 1 ? (rows - 1) * line() + width : width;
  for (; column < end; column += block_columns()) {
    const std::int64_t columns = std::min(block_columns(), end - column);
    for (std::int64_t call = 0; call < calls; ++call) {
      task.a = picture + call * window.stride * row_values * kBytes;
      task.c = sums + call * line() * block_columns();
      multiply(task, column, columns);
    }
    for (std::int64_t r = 0; r < rows; ++r) {
      finish(page, (y0 + r) * width, width, column, columns, sums + r * line() * block_columns());
    }
  }
}

void CpuOps::PairConvolution::run_pixels(std::int64_t page, std::int64_t tile, std::int64_t column,
                                         std::int64_t end) const {
  std::byte* windows = thread_scratch(source_bytes() + sum_rows() * block_columns() * 4);
  float* sums = reinterpret_cast<float*>(windows + source_bytes());
  const std::int64_t first = tile * pixels_at_once;
  const std::int64_t count = std::min(pixels_at_once, y.size(1) * y.size(2) - first);
  const Tensor from = page_of(x, page);
  PairConvolutionTask task{};
  task.runs = 1;
  task.run = depth();
  task.pixels = count;
  task.c = sums;
  task.c_stride = block_columns();
  if (source == Source::map && count == whole(count)) {
    task.a = at(from, first * from.strides[2]);
    task.pixel_step = from.strides[2];
  } else {
    gather(from, first, count, windows);
    task.a = windows;
    task.pixel_step = pitch();
  }
  for (; column < end; column += block_columns()) {
    const std::int64_t columns = std::min(block_columns(), end - column);
    multiply(task, column, columns);
    finish(page, first, count, column, columns, sums);
  }
}

void CpuOps::convolve_pairs(const Tensor& x, const Weight& weight, const Window& window,
                            const ConvolutionOptions& options, const Tensor& y) {
  GLMOCR_CHECK(x.dtype == DType::bf16);
  PairConvolution c{
      .kernels = kernels_, .x = x, .weight = weight, .window = window, .options = options, .y = y};
  c.choose();
  const std::int64_t parts_wanted = 3 * std::int64_t{device_.threads()};
  while (c.source == PairConvolution::Source::picture && c.rows_at_once > 1 &&
         x.size(0) * c.tiles() < parts_wanted) {
    c.rows_at_once = divide_up<std::int64_t>(c.rows_at_once, 2);
  }
  const std::int64_t tiles = x.size(0) * c.tiles(),
                     panels = divide_up(weight.out_features, kernels_.pair_columns);
  const std::int64_t parts =
      std::clamp<std::int64_t>(divide_up(parts_wanted, std::max<std::int64_t>(tiles, 1)), 1, panels);
  const std::int64_t columns = divide_up(panels, parts) * kernels_.pair_columns;
  const std::int64_t column_parts = divide_up(weight.out_features, columns);
  const auto body = [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t task = begin; task < end; ++task) {
      const std::int64_t tile = task / column_parts, column = task % column_parts * columns;
      c.run(tile / c.tiles(), tile % c.tiles(), column, std::min(column + columns, weight.out_features));
    }
  };
  device_.pool().parallel_for(tiles * column_parts, 1, std::ref(body));
}

void pack_pairs(const KernelTable& kernels, const Tensor& matrix, const Tensor& panels) {
  const std::int64_t out = matrix.size(0), width = panels.size(2);
  for (std::int64_t panel = 0; panel < panels.size(0); ++panel) {
    const std::int64_t first = panel * width;
    kernels.pack_columns(const_rows(matrix, first), std::min(width, out - first), matrix.size(1),
                         at(panels, first * panels.size(1)));
  }
}

}  // namespace glmocr::cpu
