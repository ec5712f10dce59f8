// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>

#include "base/numbers.h"
#include "kernels/cpu/cpu_ops.h"
#include "kernels/cpu/onednn.h"
#include "kernels/cpu/thread_scratch.h"
#include "kernels/cpu/values.h"

namespace glmocr::cpu {

struct CpuOps::Slice {
  std::int64_t row, rows, column, columns;  // of a result
};

struct CpuOps::Product {
  const Tensor& x;
  const Weight& weight;
  const LinearOptions& options;
  Tensor y;
  std::int64_t rows, in, out;
  const Weight* gate = nullptr;  // the product is multiplied with silu(x · gateᵀ)
  // Where rows from `first` on of the result become the groups of another product, of so many values a row; y is none then.
  struct Groups {
    std::byte* data = nullptr;
    std::int64_t first = 0, depth = 0, unit = 0;
  };
  Groups groups = {};

  Rows result(std::int64_t row, std::int64_t column) const {
    if (!groups.data) return {at(y, row * y.row_stride() + column), y.row_stride(), type_of(y.dtype)};
    const std::int64_t offset = (row - groups.first) * groups.depth + column * groups.unit;
    return {groups.data + offset * size_of(DType::bf16), groups.depth * groups.unit, Type::bf16};
  }

  ConstRows weights(std::int64_t column) const { return const_rows(weight.data, column); }
  // The panel that begins with this column, where weights were packed.
  const void* panels(std::int64_t column) const {
    return weight.layout == WeightLayout::pairs ? at(weight.data, column * weight.data.size(1)) : nullptr;
  }

  // What follows the sums of a tile at (row, column) of y.
  EpilogueTask epilogue(std::int64_t row, std::int64_t column, std::int64_t row_count,
                        std::int64_t column_count, const ConstRows& product) const {
    const Tensor& residual = options.residual;
    ConstRows more = const_rows(residual, row);
    if (residual) more.data = at(residual, row * residual.row_stride() + column);
    return {row_count,
            column_count,
            product,
            weight.bias ? weight.bias.as<float>() + column : nullptr,
            nonlinearity_of(options.activation),
            more,
            result(row, column)};
  }

  // The same part of y by `run` (tiles_few or tiles_many), with rows of x as it takes them.
  void in_tiles(void (*run)(const TilesTask&), const Slice& part, const void* from, std::int64_t from_stride,
                void* work) const {
    const EpilogueTask after =
        epilogue(part.row, part.column, part.rows, part.columns, {nullptr, 0, Type::f32});
    const std::int64_t panel = part.column * weight.data.size(1);
    run({from,
         from_stride,
         at(weight.data, panel),
         part.rows,
         part.columns,
         in,
         after.bias,
         after.activation,
         after.residual,
         {nullptr, 0, Type::bf16},
         after.out,
         groups.data != nullptr,
         work});
  }
  // The same with the gate, a panel of columns after the other; gates holds [rows, kPanel] values.
  void gated_in_tiles(void (*run)(const TilesTask&), const Slice& part, const void* from,
                      std::int64_t from_stride, void* work, void* gates) const {
    const std::int64_t width = weight.data.size(2), depth = weight.data.size(1);
    for (std::int64_t column = part.column; column < part.column + part.columns; column += width) {
      const std::int64_t n = std::min(width, part.column + part.columns - column);
      const float* bias = gate->bias ? gate->bias.as<float>() + column : nullptr;
      run({from,
           from_stride,
           at(gate->data, column * depth),
           part.rows,
           n,
           in,
           bias,
           Nonlinearity::silu,
           {},
           {},
           {gates, width, Type::bf16},
           false,
           work});
      const EpilogueTask after = epilogue(part.row, column, part.rows, n, {nullptr, 0, Type::f32});
      run({from,
           from_stride,
           at(weight.data, column * depth),
           part.rows,
           n,
           in,
           after.bias,
           Nonlinearity::none,
           {},
           {gates, width, Type::bf16},
           after.out,
           groups.data != nullptr,
           work});
    }
  }
  void run(void (*kernel)(const TilesTask&), const Slice& part, const void* from, std::int64_t from_stride,
           void* work, void* gates) const {
    if (gate) {
      gated_in_tiles(kernel, part, from, from_stride, work, gates);
    } else {
      in_tiles(kernel, part, from, from_stride, work);
    }
  }
};

namespace {

// The size of a part, a multiple of `unit`, when `count` is divided into nearly equal parts of at most
// `most`.
std::int64_t part_size(std::int64_t count, std::int64_t most, std::int64_t unit) {
  return round_up(divide_up(count, divide_up(count, most)), unit);
}

// Rows of a task of oneDNN's, so that all threads end together: the least time of the busiest one, where every
// task costs some rows more than it has.
std::int64_t balanced_rows(std::int64_t all, std::int64_t column_parts, std::int64_t threads) {
  constexpr std::int64_t kMost = 8 * kBf16RowUnit, kCost = 16;
  std::int64_t best = kMost, least = INT64_MAX;
  for (std::int64_t rows = kMost; rows > 0; rows -= kBf16RowUnit) {
    const std::int64_t turns = divide_up(divide_up(all, rows) * column_parts, threads);
    const std::int64_t time = turns * (std::min(rows, all) + kCost);
    if (time < least) best = rows, least = time;
  }
  return best;
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
  if (weight.layout == WeightLayout::pairs) {
    multiply_prepared({&product, 1});
  } else if (weight.data.dtype == DType::i8) {
    rows <= kFewRows ? few_rows_in_bytes(product) : dense_in_bytes(product);
  } else if (options.rows == RowClass::few) {
    few_rows(product);
  } else if (!kernels_.pairs || in == 0 || x.dtype != DType::bf16 || weight.data.dtype != DType::bf16) {
    dense(product);
  } else if (isa_.onednn && has_bf16_product()) {
    dense_onednn(product);
  } else {
    dense_pairs(product);
  }
  return product.y;
}

Tensor CpuOps::gated_linear(const Tensor& x, const Weight& gate, const Weight& up, RowClass rows) {
  const bool packed = gate.layout == WeightLayout::pairs && up.layout == WeightLayout::pairs;
  if (x.dtype != DType::bf16 || !packed || !kernels_.tiles_many) {
    return Ops::gated_linear(x, gate, up, rows);
  }
  GLMOCR_CHECK(gate.in_features == x.columns() && up.in_features == x.columns());
  GLMOCR_CHECK(gate.out_features == up.out_features);
  GLMOCR_CHECK(!gate.bias || gate.bias.numel() == gate.out_features);
  GLMOCR_CHECK(!up.bias || up.bias.numel() == up.out_features);
  LinearOptions options;
  options.rows = rows;
  const Tensor y = device_.scratch({x.rows(), up.out_features}, x.dtype);
  if (y.numel() == 0) return y;
  const ArenaScope scope(device_);
  const Product product{x, up, options, y, x.rows(), x.columns(), up.out_features, &gate};
  multiply_prepared({&product, 1});
  return y;
}

std::array<Tensor, 3> CpuOps::linear_three(const Tensor& x, const std::array<const Weight*, 3>& weights,
                                           RowClass rows, const std::array<Tensor, 3>& out) {
  bool prepared = kernels_.tiles_many && x.dtype == DType::bf16 && x.rows() > 0;
  for (const Weight* weight : weights) prepared = prepared && weight->layout == WeightLayout::pairs;
  if (!prepared) return Ops::linear_three(x, weights, rows, out);
  LinearOptions options;
  options.rows = rows;
  const auto product = [&](std::size_t i) -> Product {
    const Weight& weight = *weights[i];
    const std::int64_t columns = weight.out_features;
    GLMOCR_CHECK(weight.in_features == x.columns() && columns > 0);
    GLMOCR_CHECK(!weight.bias || weight.bias.numel() == columns);
    return {x,        weight,      options, output(out[i], {x.rows(), columns}, x.dtype),
            x.rows(), x.columns(), columns, nullptr};
  };
  const Product products[] = {product(0), product(1), product(2)};
  const ArenaScope scope(device_);
  multiply_prepared(products);
  return {products[0].y, products[1].y, products[2].y};
}

// What stands between the products is written as the second one takes its rows.
Tensor CpuOps::gated_mlp(const Tensor& x, const GatedWeights& weights, const LinearOptions& options) {
  const auto& [gate, up, down] = weights;
  bool prepared =
      kernels_.packs_results && x.dtype == DType::bf16 && options.rows == RowClass::many && x.numel() > 0;
  for (const Weight* weight : {&gate, &up, &down}) {
    prepared = prepared && weight->layout == WeightLayout::pairs && weight->out_features > 0;
  }
  if (!prepared) return Ops::gated_mlp(x, weights, options);
  const std::int64_t rows = x.rows(), in = x.columns(), inner = up.out_features, out = down.out_features;
  GLMOCR_CHECK(gate.in_features == in && up.in_features == in && gate.out_features == inner &&
               down.in_features == inner);
  for (const Weight* weight : {&gate, &up, &down}) {
    GLMOCR_CHECK(!weight->bias || weight->bias.numel() == weight->out_features);
  }
  GLMOCR_CHECK(!options.residual || (options.residual.dtype == x.dtype && options.residual.rows() == rows &&
                                     options.residual.columns() == out));
  const Tensor y = output(options.out, {rows, out}, x.dtype);
  const ArenaScope scope(device_);
  const LinearOptions none;
  const std::int64_t depth = up.data.size(1), inner_depth = down.data.size(1), unit = kernels_.pair_rows;
  const std::int64_t slice = slice_rows(rows, std::max(depth, inner_depth));
  std::byte* between = activated_.get(slice * inner_depth * size_of(DType::bf16));
  for (std::int64_t first = 0; first < rows; first += slice) {
    const std::int64_t count = std::min(slice, rows - first);
    const Product gated{x, up, none, {}, rows, in, inner, &gate, {between, first, inner_depth, unit}};
    const Product last{x, down, options, y, rows, inner, out};
    multiply_slice({&gated, 1}, first, count, pack_slice(gated, first, count));
    multiply_slice({&last, 1}, first, count, between);
  }
  return y;
}

void CpuOps::multiply_prepared(std::span<const Product> products) {
  const Product& p = products.front();
  if (p.x.dtype != DType::bf16 || !kernels_.tiles_many) {
    for (const Product& product : products) {
      product.options.rows == RowClass::few ? few_rows_in_panels(product) : dense(product);
    }
  } else if (p.options.rows == RowClass::few) {
    few_rows_in_tiles(products);
  } else {
    dense_in_tiles(products);
  }
}

namespace {

// Of several products of the same rows one after the other: all panels of their weights, and visit(product, first panel,
// panels) for the parts of a range of them.
template <class Products>
std::int64_t all_panels(const Products& products) {
  std::int64_t count = 0;
  for (const auto& p : products) count += p.weight.data.size(0);
  return count;
}
template <class Products, class Visit>
void for_panels(const Products& products, std::int64_t begin, std::int64_t end, Visit visit) {
  for (const auto& p : products) {
    const std::int64_t count = p.weight.data.size(0), first = std::max<std::int64_t>(begin, 0),
                       last = std::min(end, count);
    if (first < last) visit(p, first, last - first);
    begin -= count;
    end -= count;
  }
}

}  // namespace

// Bound by reading the weights, which are one stream for every task.
void CpuOps::few_rows_in_tiles(std::span<const Product> products) {
  const Product& p = products.front();
  const std::int64_t width = p.weight.data.size(2), depth = p.weight.data.size(1),
                     panels = all_panels(products);
  Tensor x = p.x;
  if (p.in < depth) {
    x = device_.scratch({p.rows, depth}, p.x.dtype);
    for (std::int64_t r = 0; r < p.rows; ++r) {
      std::memcpy(at(x, r * depth), at(p.x, r * p.x.row_stride()), p.in * 2);
      std::memset(at(x, r * depth + p.in), 0, (depth - p.in) * 2);
    }
  }
  const std::int64_t most = kernels_.pair_rows, work_bytes = kernels_.tile_work_bytes(most);
  const auto body = [&](std::int64_t begin, std::int64_t end) {
    std::byte* work = thread_scratch(work_bytes + most * width * 2);
    for_panels(products, begin, end, [&](const Product& product, std::int64_t first, std::int64_t count) {
      const std::int64_t at_once = product.rows <= most ? count : 1;
      for (std::int64_t panel = first; panel < first + count; panel += at_once) {
        const std::int64_t column = panel * width, columns = std::min(at_once * width, product.out - column);
        for (std::int64_t row = 0; row < product.rows; row += most) {
          const Slice part{row, std::min(most, product.rows - row), column, columns};
          const void* rows = at(x, row * x.row_stride());
          product.run(kernels_.tiles_few, part, rows, x.row_stride(), work, work + work_bytes);
        }
      }
    });
  };
  const std::int64_t grain = std::clamp<std::int64_t>(panels / (4 * device_.threads()), 1, 4);
  device_.pool().parallel_for(panels, grain, std::ref(body));
}

namespace {

// How a result of so many groups of rows and panels of columns is divided into tasks.
struct Parts {
  std::int64_t rows, columns;
};

// The parts that take the least time on all threads, where a task takes that of its products and of fetching its operands.
// Rows of a task stay in the second-level cache.
Parts divide(std::int64_t groups, std::int64_t panels, std::int64_t most_groups, std::int64_t threads) {
  Parts best{divide_up(groups, most_groups), panels};
  std::int64_t least = INT64_MAX;
  for (std::int64_t rows = best.rows; rows <= groups; ++rows) {
    for (std::int64_t columns = 1; columns <= panels && rows * columns <= 16 * threads; ++columns) {
      const std::int64_t g = divide_up(groups, rows), n = divide_up(panels, columns);
      const std::int64_t time = divide_up(rows * columns, threads) * (g * n + g + n);
      if (time < least) best = {rows, columns}, least = time;
    }
  }
  return best;
}

}  // namespace

// So many rows are packed at once that they stay in a cache.
std::int64_t CpuOps::slice_rows(std::int64_t rows, std::int64_t depth) const {
  constexpr std::int64_t kSliceBytes = std::int64_t{16} << 20;
  const std::int64_t unit = kernels_.pair_rows;
  return part_size(rows, std::max(kSliceBytes / (depth * 2 * unit), std::int64_t{1}) * unit, unit);
}

// Rows are packed once, by all threads, then multiplied in tasks of nearly equal size.
void CpuOps::dense_in_tiles(std::span<const Product> products) {
  const Product& p = products.front();
  const std::int64_t slice = slice_rows(p.rows, p.weight.data.size(1));
  for (std::int64_t row = 0; row < p.rows; row += slice) {
    const std::int64_t count = std::min(slice, p.rows - row);
    multiply_slice(products, row, count, pack_slice(p, row, count));
  }
}

// The rows [first, first + count) of x as groups.
const std::byte* CpuOps::pack_slice(const Product& p, std::int64_t first, std::int64_t count) {
  const std::int64_t unit = kernels_.pair_rows, group_bytes = p.weight.data.size(1) * unit * 2;
  const std::int64_t groups = divide_up(count, unit);
  std::byte* packed = packed_.get(groups * group_bytes);
  const auto pack = [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t group = begin; group < end; ++group) {
      kernels_.pack_rows(const_rows(p.x, first + group * unit), std::min(unit, count - group * unit), p.in,
                         packed + group * group_bytes);
    }
  };
  device_.pool().parallel_for(groups, 1, std::ref(pack));
  return packed;
}

void CpuOps::multiply_slice(std::span<const Product> products, std::int64_t first, std::int64_t count,
                            const std::byte* packed) {
  const Product& p = products.front();
  const std::int64_t unit = kernels_.pair_rows, width = p.weight.data.size(2), depth = p.weight.data.size(1),
                     panels = all_panels(products), groups = divide_up(count, unit);
  constexpr std::int64_t kTaskBytes = 512 << 10;  // of rows
  const Parts parts =
      divide(groups, panels, std::max<std::int64_t>(kTaskBytes / (depth * 2 * unit), 1), device_.threads());
  const std::int64_t most_rows = divide_up(groups, parts.rows) * unit;
  const std::int64_t work_bytes = kernels_.tile_work_bytes(most_rows);
  const auto body = [&](std::int64_t begin, std::int64_t end) {
    std::byte* work = thread_scratch(work_bytes + most_rows * width * 2);
    for (std::int64_t task = begin; task < end; ++task) {
      const std::int64_t i = task / parts.columns, j = task % parts.columns;
      const std::int64_t row = i * groups / parts.rows * unit,
                         row_end = std::min((i + 1) * groups / parts.rows * unit, count);
      const auto multiply = [&](const Product& product, std::int64_t panel, std::int64_t some) {
        const std::int64_t column = panel * width;
        const Slice part{first + row, row_end - row, column, std::min(some * width, product.out - column)};
        product.run(kernels_.tiles_many, part, packed + row * depth * 2, 0, work, work + work_bytes);
      };
      for_panels(products, j * panels / parts.columns, (j + 1) * panels / parts.columns, multiply);
    }
  };
  device_.pool().parallel_for(parts.rows * parts.columns, 1, std::ref(body));
}

// The rows of x in fp32, in memory of the arena where they are not.
ConstRows CpuOps::widened(const Product& p) {
  const ConstRows x = const_rows(p.x, 0);
  if (x.type == Type::f32) return x;
  const std::int64_t pitch = p.in + 16;  // not a power of two, so that rows do not share cache sets
  const Tensor wide = device_.scratch({p.rows, pitch}, DType::f32);
  for (std::int64_t r = 0; r < p.rows; ++r) {
    kernels_.convert(at(wide, r * pitch), Type::f32, at(p.x, r * p.x.row_stride()), x.type, p.in);
  }
  return {wide.data, pitch, Type::f32};
}

// In fp32, bound by reading the panels, which are one stream for every task.
void CpuOps::few_rows_in_panels(const Product& p) {
  const std::int64_t width = p.weight.data.size(2), panels = p.weight.data.size(0);
  const ConstRows x = widened(p);
  const auto body = [&](std::int64_t begin, std::int64_t end) {
    const std::int64_t column = begin * width, columns = (end - begin) * width;
    float* tile = thread_floats(p.rows * columns);
    kernels_.dot_panels({x, {p.panels(column), 0, Type::bf16}, p.rows, columns, p.in, tile, columns});
    kernels_.epilogue(
        p.epilogue(0, column, p.rows, std::min(columns, p.out - column), {tile, columns, Type::f32}));
  };
  const std::int64_t grain = std::clamp<std::int64_t>(panels / (4 * device_.threads()), 1, 8);
  device_.pool().parallel_for(panels, grain, std::ref(body));
}

// Bound by reading the weights: each task reads those of its columns once for all rows.
void CpuOps::few_rows(const Product& p) {
  const bool as_stored =
      p.x.dtype == DType::f32 || (kernels_.dots_bf16 && p.weight.data.dtype == DType::bf16);
  const ConstRows x = as_stored ? const_rows(p.x, 0) : widened(p);
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

// Our own fp32 product: weights of any type are widened panel by panel, never as a whole. The micro-kernel
// adds along k one value after the other, so a sum does not depend on the tile it is in.
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
      kernels_.gemm({const_rows(p.x, row), p.weights(column), m, n, p.in, tile, columns, tile + tile_floats,
                     p.panels(column)});
      kernels_.epilogue(p.epilogue(row, column, m, n, {tile, columns, Type::f32}));
    }
  };
  device_.pool().parallel_for(row_parts * column_parts, 1, std::ref(body));
}

// bf16 by our own kernels, a slice of rows and of columns at a time: all threads pack them once, then multiply in
// small tasks. Sums depend neither on slices nor on tasks.
void CpuOps::dense_pairs(const Product& p) {
  constexpr std::int64_t kPackedBytes = std::int64_t{8} << 20;  // of either operand
  const std::int64_t row_unit = kernels_.pair_rows, column_unit = kernels_.pair_columns;
  const std::int64_t depth_bytes = round_up(p.in, kernels_.pair_depth) * 2;
  const auto slice = [&](std::int64_t count, std::int64_t unit) {
    return part_size(count, std::max(kPackedBytes / depth_bytes / unit, std::int64_t{1}) * unit, unit);
  };
  const std::int64_t all_rows = slice(p.rows, row_unit), all_columns = slice(p.out, column_unit);
  std::byte* panels = packed_.get((all_columns + all_rows) * depth_bytes);
  std::byte* groups = panels + all_columns * depth_bytes;
  for (std::int64_t column = 0; column < p.out; column += all_columns) {
    const std::int64_t columns = std::min(all_columns, p.out - column);
    for (std::int64_t row = 0; row < p.rows; row += all_rows) {
      const std::int64_t rows = std::min(all_rows, p.rows - row);
      const std::int64_t to_pack = row == 0 ? divide_up(columns, column_unit) : 0;
      const auto pack = [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t i = begin; i < end; ++i) {
          if (const std::int64_t first = i * column_unit; i < to_pack) {
            kernels_.pack_columns(p.weights(column + first), std::min(column_unit, columns - first), p.in,
                                  panels + first * depth_bytes);
          } else {
            const std::int64_t from = (i - to_pack) * row_unit;
            kernels_.pack_rows(const_rows(p.x, row + from), std::min(row_unit, rows - from), p.in,
                               groups + from * depth_bytes);
          }
        }
      };
      device_.pool().parallel_for(to_pack + divide_up(rows, row_unit), 1, std::ref(pack));
      multiply_packed(p, {row, rows, column, columns}, groups, panels);
    }
  }
}

void CpuOps::multiply_packed(const Product& p, const Slice& slice, const std::byte* groups,
                             const std::byte* panels) {
  const std::int64_t depth_bytes = round_up(p.in, kernels_.pair_depth) * 2;
  const std::int64_t rows = part_size(slice.rows, 128, kernels_.pair_rows),
                     row_parts = divide_up(slice.rows, rows);
  std::int64_t columns = part_size(slice.columns, 128, kernels_.pair_columns);
  while (columns > kernels_.pair_columns &&
         row_parts * divide_up(slice.columns, columns) < 3 * device_.threads()) {
    columns = part_size(columns, divide_up<std::int64_t>(columns, 2), kernels_.pair_columns);
  }
  const std::int64_t column_parts = divide_up(slice.columns, columns);
  const auto body = [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t task = begin; task < end; ++task) {
      const std::int64_t row = task / column_parts * rows, column = task % column_parts * columns;
      const std::int64_t m = std::min(rows, slice.rows - row), n = std::min(columns, slice.columns - column);
      float* tile = thread_floats(rows * columns);
      kernels_.pairs({groups + row * depth_bytes, panels + column * depth_bytes, m, n, p.in, tile, columns});
      kernels_.epilogue(p.epilogue(slice.row + row, slice.column + column, m, n, {tile, columns, Type::f32}));
    }
  };
  device_.pool().parallel_for(row_parts * column_parts, 1, std::ref(body));
}

std::int64_t packed_bytes(const Isa& isa, std::int64_t out, std::int64_t in) {
  const KernelTable& kernels = isa.table();
  return divide_up(out, kernels.byte_columns) * bytes_panel(in, kernels.byte_columns, kernels.byte_depth);
}

void pack_bytes(const Isa& isa, ThreadPool& pool, const Tensor& values, const Tensor& panels) {
  const KernelTable& kernels = isa.table();
  const std::int64_t out = values.size(0), in = values.size(1), columns = kernels.byte_columns;
  const std::int64_t panel = bytes_panel(in, columns, kernels.byte_depth);
  pool.parallel_for(divide_up(out, columns), 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      kernels.pack_bytes(values.as<std::int8_t>() + i * columns * in, in,
                         std::min(columns, out - i * columns), in, at(panels, i * panel));
    }
  });
}

// The panel of eight bits that begins with this column; where weights lie as they are stored, it is packed into `memory`.
const void* CpuOps::panel_of_bytes(const Product& p, std::int64_t column, std::byte* memory) const {
  const std::int64_t unit = kernels_.byte_columns, panel = bytes_panel(p.in, unit, kernels_.byte_depth);
  if (p.weight.layout == WeightLayout::bytes) return at(p.weight.data, column / unit * panel);
  kernels_.pack_bytes(p.weight.data.as<std::int8_t>() + column * p.in, p.in, std::min(unit, p.out - column),
                      p.in, memory);
  return memory;
}

// Eight bits, bound by reading the weights: all rows pass by each panel while it is in the cache. As many groups as the
// kernel's rows ask for, of nearly equal size.
void CpuOps::few_rows_in_bytes(const Product& p) {
  const std::int64_t columns_unit = kernels_.byte_columns,
                     panel = bytes_panel(p.in, columns_unit, kernels_.byte_depth);
  const std::int64_t groups = divide_up(p.rows, kernels_.byte_rows), most = divide_up(p.rows, groups);
  const std::int64_t group_bytes =
      round_up<std::int64_t>(divide_up(p.in, kernels_.byte_depth) * most * kernels_.byte_word, 64);
  const std::int64_t work_bytes = 2 * round_up<std::int64_t>(p.in, 64);
  std::byte* memory = packed_.get(groups * group_bytes + work_bytes);
  float scales[kFewRows];
  for (std::int64_t row = 0; row < p.rows; row += most) {
    kernels_.quantize_rows(const_rows(p.x, row), std::min(most, p.rows - row), p.in, most,
                           memory + row / most * group_bytes, scales + row, memory + groups * group_bytes);
  }
  constexpr std::int64_t kTaskBytes = 256 << 10;
  const std::int64_t panels = std::clamp<std::int64_t>(kTaskBytes / panel, 1, 32);
  const auto body = [&](std::int64_t begin, std::int64_t end) {
    const std::int64_t tile_bytes = round_up<std::int64_t>(p.rows * columns_unit * 4, 64);
    std::byte* scratch = thread_scratch(tile_bytes + panel);
    auto* tile = reinterpret_cast<float*>(scratch);
    for (std::int64_t column = begin * columns_unit; column < std::min(end * columns_unit, p.out);
         column += columns_unit) {
      const std::int64_t n = std::min(columns_unit, p.out - column);
      const void* weights = panel_of_bytes(p, column, scratch + tile_bytes);
      for (std::int64_t row = 0; row < p.rows; row += most) {
        kernels_.bytes({memory + row / most * group_bytes, most, scales + row, weights,
                        p.weight.scale.as<float>() + column, std::min(most, p.rows - row), n, p.in,
                        tile + row * columns_unit, columns_unit});
      }
      kernels_.epilogue(p.epilogue(0, column, p.rows, n, {tile, columns_unit, Type::f32}));
    }
  };
  device_.pool().parallel_for(divide_up(p.out, columns_unit), panels, std::ref(body));
}

// Eight bits, a slice of rows at a time: all threads round them, then multiply in small tasks.
void CpuOps::dense_in_bytes(const Product& p) {
  constexpr std::int64_t kSliceBytes = std::int64_t{8} << 20;
  const std::int64_t unit = kernels_.byte_rows, columns_unit = kernels_.byte_columns;
  const std::int64_t panel = bytes_panel(p.in, columns_unit, kernels_.byte_depth);
  const std::int64_t group_bytes =
      round_up<std::int64_t>(divide_up(p.in, kernels_.byte_depth) * unit * kernels_.byte_word, 64);
  const std::int64_t slice =
      part_size(p.rows, std::max(kSliceBytes / group_bytes, std::int64_t{1}) * unit, unit);
  std::byte* groups = packed_.get(slice / unit * group_bytes + slice * 4);
  auto* scales = reinterpret_cast<float*>(groups + slice / unit * group_bytes);
  for (std::int64_t first = 0; first < p.rows; first += slice) {
    const std::int64_t count = std::min(slice, p.rows - first);
    const auto quantize = [&](std::int64_t begin, std::int64_t end) {
      std::byte* work = thread_scratch(2 * round_up<std::int64_t>(p.in, 64));
      for (std::int64_t i = begin; i < end; ++i) {
        kernels_.quantize_rows(const_rows(p.x, first + i * unit), std::min(unit, count - i * unit), p.in,
                               unit, groups + i * group_bytes, scales + i * unit, work);
      }
    };
    device_.pool().parallel_for(divide_up(count, unit), 1, std::ref(quantize));
    // Rows of a task stay in the second-level cache, and a panel with them.
    const std::int64_t rows =
        part_size(count, std::max<std::int64_t>((384 << 10) / group_bytes, 1) * unit, unit);
    const std::int64_t row_parts = divide_up(count, rows);
    std::int64_t columns = part_size(p.out, 256, columns_unit);
    while (columns > columns_unit && row_parts * divide_up(p.out, columns) < 3 * device_.threads()) {
      columns = part_size(columns, divide_up<std::int64_t>(columns, 2), columns_unit);
    }
    const std::int64_t column_parts = divide_up(p.out, columns);
    const auto body = [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t task = begin; task < end; ++task) {
        const std::int64_t row = task % row_parts * rows, column = task / row_parts * columns;
        const std::int64_t m = std::min(rows, count - row), n = std::min(columns, p.out - column);
        const std::int64_t tile_bytes = round_up<std::int64_t>(rows * columns * 4, 64);
        std::byte* scratch = thread_scratch(tile_bytes + panel);
        auto* tile = reinterpret_cast<float*>(scratch);
        for (std::int64_t c = 0; c < n; c += columns_unit) {
          const void* weights = panel_of_bytes(p, column + c, scratch + tile_bytes);
          for (std::int64_t r = 0; r < m; r += unit) {
            kernels_.bytes({groups + (row + r) / unit * group_bytes, unit, scales + row + r, weights,
                            p.weight.scale.as<float>() + column + c, std::min(unit, m - r),
                            std::min(columns_unit, n - c), p.in, tile + r * columns + c, columns});
          }
        }
        kernels_.epilogue(p.epilogue(first + row, column, m, n, {tile, columns, Type::f32}));
      }
    };
    device_.pool().parallel_for(row_parts * column_parts, 1, std::ref(body));
  }
}

// bf16 by oneDNN. Where the columns are cut depends on the shape of the weights alone, because the order of
// the sums may depend on the width of a tile; how many rows it has does not matter. Short rows take wide
// tiles: copying their results would cost more than the narrower tiles gain.
void CpuOps::dense_onednn(const Product& p) {
  const std::int64_t columns = std::min(part_size(p.out, p.in < 512 ? 1536 : 1024, 64), p.out);
  const std::int64_t column_parts = divide_up(p.out, columns),
                     last_columns = p.out - (column_parts - 1) * columns;
  const std::int64_t rows = balanced_rows(p.rows, column_parts, device_.threads());
  const std::int64_t row_parts = divide_up(p.rows, rows);
  const std::int64_t last_rows = round_up(p.rows - (row_parts - 1) * rows, kBf16RowUnit);
  // Whole rows go to y at once, where nothing follows that reads what y held.
  const bool direct = column_parts == 1 && p.y.row_stride() == p.out && !p.options.residual;

  std::shared_ptr<const Bf16Product> products[2][2];  // [last rows][last columns]
  std::int64_t scratch_bytes = 0;
  for (const bool last_row : {false, true}) {
    for (const bool last_column : {false, true}) {
      auto& product = products[last_row][last_column];
      product = bf16_products_.prepare({last_row ? last_rows : rows, last_column ? last_columns : columns,
                                        p.in, p.weight.data.row_stride(), static_cast<bool>(p.weight.bias)});
      scratch_bytes = std::max(scratch_bytes, round_up<std::int64_t>(product->scratch_bytes(), 64));
    }
  }
  const auto body = [&](std::int64_t begin, std::int64_t end) {
    std::byte* scratch = thread_scratch(scratch_bytes + rows * columns * 2);
    for (std::int64_t task = begin; task < end; ++task) {
      const std::int64_t row = task / column_parts * rows, column = task % column_parts * columns;
      const std::int64_t m = std::min(rows, p.rows - row), n = std::min(columns, p.out - column);
      const bool in_place = direct && m == rows;
      void* out = in_place ? at(p.y, row * p.out) : scratch + scratch_bytes;
      EpilogueTask rest = p.epilogue(row, column, m, n, {out, n, Type::bf16});
      const Bf16Product& product = *products[row + rows >= p.rows][column + columns >= p.out];
      product.run(
          {const_rows(p.x, row).data, p.x.row_stride(), m, p.weights(column).data, rest.bias, out, scratch});
      rest.bias = nullptr;
      if (!in_place || p.options.activation != Activation::none) kernels_.epilogue(rest);
    }
  };
  device_.pool().parallel_for(row_parts * column_parts, 1, std::ref(body));
}

}  // namespace glmocr::cpu
