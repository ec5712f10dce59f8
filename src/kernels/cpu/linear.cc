// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "base/numbers.h"
#include "kernels/cpu/cpu_ops.h"
#include "kernels/cpu/onednn.h"
#include "kernels/cpu/thread_scratch.h"
#include "kernels/cpu/values.h"

namespace glmocr::cpu {

struct CpuOps::Product {
  const Tensor& x;
  const Weight& weight;
  const LinearOptions& options;
  Tensor y;
  std::int64_t rows, in, out;

  ConstRows weights(std::int64_t column) const { return const_rows(weight.data, column); }

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
            weight.bias ? weight.bias.as<float>() + column : nullptr,
            nonlinearity_of(options.activation),
            more,
            to};
  }
};

namespace {

// The size of a part, a multiple of `unit`, when `count` is divided into nearly equal parts of at most `most`.
std::int64_t part_size(std::int64_t count, std::int64_t most, std::int64_t unit) {
  return round_up(divide_up(count, divide_up(count, most)), unit);
}

}  // namespace

Tensor CpuOps::linear(const Tensor& x, const Weight& weight, const LinearOptions& options) {
  const std::int64_t rows = x.rows(), in = x.columns(), out = weight.out_features;
  GLMOCR_CHECK(is_compute_type(x.dtype) && weight.in_features == in);
  GLMOCR_CHECK(!weight.bias || weight.bias.numel() == out);
  GLMOCR_CHECK(!options.residual || (options.residual.dtype == x.dtype && options.residual.rows() == rows &&
                                     options.residual.columns() == out));
  const Product product{x, weight, options, output(options.out, {rows, out}, x.dtype), rows, in, out};
  if (rows == 0 || out == 0) return product.y;
  const ArenaScope scope(device_);
  if (options.rows == RowClass::few) {
    few_rows(product);
  } else if (isa_.bf16_products && x.dtype == DType::bf16 && weight.data.dtype == DType::bf16 &&
             has_bf16_product()) {
    dense_onednn(product);
  } else {
    dense(product);
  }
  return product.y;
}

// Bound by reading the weights: each task reads those of its columns once for all rows.
void CpuOps::few_rows(const Product& p) {
  const bool as_stored =
      p.x.dtype == DType::f32 || (kernels_.dots_bf16 && p.weight.data.dtype == DType::bf16);
  ConstRows x = const_rows(p.x, 0);
  if (!as_stored) {
    const std::int64_t pitch = p.in + 16;  // not a power of two, so that rows do not share cache sets
    const Tensor wide = device_.scratch({p.rows, pitch}, DType::f32);
    for (std::int64_t r = 0; r < p.rows; ++r) {
      kernels_.convert(at(wide, r * pitch), Type::f32, at(p.x, r * p.x.row_stride()), x.type, p.in);
    }
    x = {wide.data, pitch, Type::f32};
  }
  constexpr std::int64_t kTaskBytes = 128 << 10;
  const std::int64_t column_bytes = std::max<std::int64_t>(p.in * size_of(p.weight.data.dtype), 1);
  const std::int64_t most = std::clamp<std::int64_t>(kTaskBytes / column_bytes, 16, 1024);
  const auto body = [&](std::int64_t begin, std::int64_t end) {
    const std::int64_t columns = end - begin;
    float* tile = thread_floats(p.rows * columns);
    kernels_.dot({x, p.weights(begin), p.rows, columns, p.in, tile, columns});
    kernels_.epilogue(p.epilogue(0, begin, p.rows, columns, {tile, columns, Type::f32}));
  };
  device_.pool().parallel_for(p.out, part_size(p.out, most, 4), std::ref(body));
}

// Our own fp32 product: weights of any type are widened panel by panel, never as a whole. The micro-kernel adds along k one
// value after the other, so a sum does not depend on the tile it is in.
void CpuOps::dense(const Product& p) {
  const std::int64_t row_unit = kernels_.gemm_rows, column_unit = kernels_.gemm_columns;
  // Wide tiles pay for copying the rows, but every thread must have some.
  const std::int64_t rows = part_size(p.rows, 192, row_unit), row_parts = divide_up(p.rows, rows);
  std::int64_t columns = part_size(p.out, 512, column_unit);
  while (columns > 64 && row_parts * divide_up(p.out, columns) < 4 * device_.threads()) {
    columns = part_size(columns, divide_up<std::int64_t>(columns, 2), column_unit);
  }
  const std::int64_t column_parts = divide_up(p.out, columns);
  const auto body = [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t task = begin; task < end; ++task) {
      const std::int64_t row = task / column_parts * rows, column = task % column_parts * columns;
      const std::int64_t m = std::min(rows, p.rows - row), n = std::min(columns, p.out - column);
      const std::int64_t tile_floats = round_up<std::int64_t>(rows * columns, 16);
      float* tile = thread_floats(tile_floats + kernels_.gemm_scratch(rows));
      kernels_.gemm({const_rows(p.x, row), p.weights(column), m, n, p.in, tile, columns, tile + tile_floats});
      kernels_.epilogue(p.epilogue(row, column, m, n, {tile, columns, Type::f32}));
    }
  };
  device_.pool().parallel_for(row_parts * column_parts, 1, std::ref(body));
}

// bf16 by oneDNN, one tile per task. Where the columns are cut depends on their number alone, because the order of the
// sums may depend on the width of a tile. Where the sums may not go to y at once (y may be the residual), they go
// through memory of their own.
void CpuOps::dense_onednn(const Product& p) {
  const std::int64_t columns = part_size(p.out, 256, 64), column_parts = divide_up(p.out, columns);
  const std::int64_t last_columns = p.out - (column_parts - 1) * columns;
  // Each task brings the weights of its columns into oneDNN's layout: as few cuts between rows as keep the threads busy.
  const std::int64_t row_parts = divide_up<std::int64_t>(2 * device_.threads(), column_parts);
  const std::int64_t rows = round_up(divide_up(p.rows, row_parts), kBf16Rows);
  const bool detour = static_cast<bool>(p.options.residual);
  const Tensor sums = detour ? device_.scratch({p.rows, p.out}, DType::bf16) : p.y;
  const auto prepare = [&](std::int64_t n) {
    return bf16_products_.prepare({n, p.in, p.x.row_stride(), p.weight.data.row_stride(), sums.row_stride(),
                                   static_cast<bool>(p.weight.bias)});
  };
  const auto product = prepare(std::min(columns, p.out)), last_product = prepare(last_columns);
  const auto body = [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t task = begin; task < end; ++task) {
      const std::int64_t row = task / column_parts * rows, column = task % column_parts * columns;
      const std::int64_t m = std::min(rows, p.rows - row), n = std::min(columns, p.out - column);
      void* out = at(sums, row * sums.row_stride() + column);
      EpilogueTask rest = p.epilogue(row, column, m, n, {out, sums.row_stride(), Type::bf16});
      const Bf16Product& tile = n == columns ? *product : *last_product;
      tile.run({const_rows(p.x, row).data, p.weights(column).data, rest.bias, m, out});
      rest.bias = nullptr;
      if (detour || p.options.activation != Activation::none) kernels_.epilogue(rest);
    }
  };
  device_.pool().parallel_for(divide_up(p.rows, rows) * column_parts, 1, std::ref(body));
}

}  // namespace glmocr::cpu
