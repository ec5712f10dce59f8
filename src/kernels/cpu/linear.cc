// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "kernels/cpu/cpu_ops.h"
#include "kernels/cpu/onednn.h"
#include "kernels/cpu/thread_scratch.h"
#include "kernels/cpu/values.h"

namespace glmocr::cpu {

struct CpuOps::Product {
  const Tensor& x;
  const Tensor& weight;
  const LinearOptions& options;
  Tensor y;
  std::int64_t rows, in, out;

  ConstRows weights(std::int64_t column) const { return const_rows(weight, column); }

  // What follows the sums of a tile at (row, column) of y.
  EpilogueTask epilogue(std::int64_t row, std::int64_t column, std::int64_t row_count,
                        std::int64_t column_count, const ConstRows& product) const {
    const Tensor& residual = options.residual;
    ConstRows more = const_rows(residual, row);
    if (residual) more.data = at(residual, row * residual.row_stride() + column);
    const Rows to = {at(y, row * y.row_stride() + column), y.row_stride(), type_of(y.dtype)};
    return {row_count,
            column_count,
            product,
            options.bias ? options.bias.as<float>() + column : nullptr,
            static_cast<Nonlinearity>(options.activation),
            more,
            to};
  }
};

namespace {

// A count of parts of nearly equal size, each at most `most` and a multiple of `unit`: the size of a part.
std::int64_t part_size(std::int64_t count, std::int64_t most, std::int64_t unit) {
  const std::int64_t parts = (count + most - 1) / most;
  return ((count + parts - 1) / parts + unit - 1) / unit * unit;
}

}  // namespace

Tensor CpuOps::linear(const Tensor& x, const Tensor& weight, const LinearOptions& options) {
  const std::int64_t rows = x.rows(), in = x.columns(), out = weight.size(0);
  GLMOCR_CHECK(is_compute_type(x.dtype) && weight.rank() == 2 && weight.size(1) == in);
  GLMOCR_CHECK(!options.bias || options.bias.numel() == out);
  GLMOCR_CHECK(!options.residual || (options.residual.dtype == x.dtype && options.residual.rows() == rows &&
                                     options.residual.columns() == out));
  const Product product{x, weight, options, output(options.out, {rows, out}, x.dtype), rows, in, out};
  if (rows == 0 || out == 0) return product.y;
  const ArenaScope scope(device_);
  if (rows <= kMaxDotRows) {
    few_rows(product);
  } else if (isa_.bf16_products && x.dtype == DType::bf16 && weight.dtype == DType::bf16 &&
             has_bf16_product()) {
    dense_onednn(product);
  } else {
    dense(product);
  }
  return product.y;
}

// Bound by reading the weights: each task reads its columns' once for all rows.
void CpuOps::few_rows(const Product& p) {
  const std::int64_t pitch = p.in + 16;  // off the powers of two, so that rows do not share cache sets
  const Tensor wide = device_.scratch({p.rows, pitch}, DType::f32);
  for (std::int64_t r = 0; r < p.rows; ++r) {
    kernels_.convert(at(wide, r * pitch), Type::f32, at(p.x, r * p.x.row_stride()), type_of(p.x.dtype), p.in);
  }
  constexpr std::int64_t kTaskBytes = 128 << 10;
  const std::int64_t column_bytes = p.in * size_of(p.weight.dtype);
  const std::int64_t most =
      std::clamp<std::int64_t>(kTaskBytes / std::max<std::int64_t>(column_bytes, 1), 16, 1024);
  const auto body = [&](std::int64_t begin, std::int64_t end) {
    const std::int64_t columns = end - begin;
    float* tile = thread_floats(p.rows * columns);
    kernels_.dot({wide.as<float>(), pitch, p.weights(begin), p.rows, columns, p.in, tile, columns});
    kernels_.epilogue(p.epilogue(0, begin, p.rows, columns, {tile, columns, Type::f32}));
  };
  device_.pool().parallel_for(p.out, part_size(p.out, most, 4), std::ref(body));
}

// Own fp32 product: weights of any type are widened panel by panel, never as a whole.
void CpuOps::dense(const Product& p) {
  const std::int64_t row_unit = kernels_.gemm_rows, column_unit = kernels_.gemm_columns;
  // Wide tiles pay for copying the rows, but every thread must have some.
  const std::int64_t rows = part_size(p.rows, 192, row_unit), row_parts = (p.rows + rows - 1) / rows;
  std::int64_t columns = part_size(p.out, 512, column_unit);
  while (columns > 64 && row_parts * ((p.out + columns - 1) / columns) < 4 * device_.threads()) {
    columns = part_size(columns, (columns + 1) / 2, column_unit);
  }
  const std::int64_t column_parts = (p.out + columns - 1) / columns;
  const auto body = [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t task = begin; task < end; ++task) {
      const std::int64_t row = task / column_parts * rows, column = task % column_parts * columns;
      const std::int64_t m = std::min(rows, p.rows - row), n = std::min(columns, p.out - column);
      const std::int64_t tile_floats = (rows * columns + 15) / 16 * 16;
      float* tile = thread_floats(tile_floats + kernels_.gemm_scratch(rows));
      kernels_.gemm({const_rows(p.x, row), p.weights(column), m, n, p.in, tile, columns, tile + tile_floats});
      kernels_.epilogue(p.epilogue(row, column, m, n, {tile, columns, Type::f32}));
    }
  };
  device_.pool().parallel_for(row_parts * column_parts, 1, std::ref(body));
}

// bf16 by oneDNN on a tile a task. Where the sums may not go to y at once (y may be the residual), they take
// a detour through this thread's memory.
void CpuOps::dense_onednn(const Product& p) {
  const std::int64_t threads = device_.threads();
  std::int64_t rows = 512;
  while (rows > 64 && (p.rows + rows - 1) / rows < threads) rows /= 2;
  const std::int64_t row_parts = (p.rows + rows - 1) / rows;
  const std::int64_t columns = part_size(p.out, row_parts >= threads ? 2048 : 512, 64);
  const std::int64_t column_parts = (p.out + columns - 1) / columns;
  const bool detour = static_cast<bool>(p.options.residual);
  const Tensor sums = detour ? device_.scratch({p.rows, p.out}, DType::bf16) : p.y;
  const auto body = [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t task = begin; task < end; ++task) {
      const std::int64_t row = task / column_parts * rows, column = task % column_parts * columns;
      const std::int64_t m = std::min(rows, p.rows - row), n = std::min(columns, p.out - column);
      void* out = at(sums, row * sums.row_stride() + column);
      EpilogueTask rest = p.epilogue(row, column, m, n, {out, sums.row_stride(), Type::bf16});
      bf16_product({const_rows(p.x, row), p.weights(column), rest.bias, m, n, p.in, static_cast<Bf16*>(out),
                    sums.row_stride()});
      rest.bias = nullptr;
      if (detour || p.options.activation != Activation::none) kernels_.epilogue(rest);
    }
  };
  device_.pool().parallel_for(row_parts * column_parts, 1, std::ref(body));
}

}  // namespace glmocr::cpu
