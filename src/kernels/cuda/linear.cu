// SPDX-License-Identifier: Apache-2.0
#include "kernels/cuda/linear.cuh"

#include "kernels/cuda/cuda_ops.h"
#include "kernels/cuda/halves.h"
#include "kernels/cuda/launch.h"

// Products in fp32, and of bf16 rows that tensor cores cannot read: fused multiply-adds in fp32.
namespace glmocr::cuda {
namespace {

constexpr int kFewThreads = 128, kFewGroup = 8;

// Bound by memory for a few rows: reads each weight once per group of kFewGroup rows. A warp per output
// feature; lane i sums the terms i, i + 32, …
template <class T, class S>
__global__ void __launch_bounds__(kFewThreads) few_rows_kernel(const Product<T, S> p) {
  let_next_start();
  wait_for_previous();
  const int column = blockIdx.x * (kFewThreads / 32) + threadIdx.x / 32, lane = threadIdx.x % 32;
  if (column >= p.out) return;
  const S* w = p.w + std::int64_t{column} * p.in;
  for (int first = 0; first < p.rows; first += kFewGroup) {
    float sums[kFewGroup] = {};
    for (int i = lane; i < p.in; i += 32) {
      const float weight = to_float(w[i]);
#pragma unroll
      for (int r = 0; r < kFewGroup; ++r) {
        if (first + r < p.rows) sums[r] = fmaf(to_float(p.x[(first + r) * p.x_stride + i]), weight, sums[r]);
      }
    }
#pragma unroll
    for (int r = 0; r < kFewGroup; ++r) {
      const float sum = warp_sum(sums[r]);
      if (lane == 0 && first + r < p.rows) p.finish(sum, first + r, column);
    }
  }
}

constexpr int kTile = 64, kDepth = 16, kManyThreads = 256;

// Bound by fp32 arithmetic: tiles of 64 × 64 results, 4 × 4 per thread; the terms are summed in order.
template <class T, class S>
__global__ void __launch_bounds__(kManyThreads) many_rows_kernel(const Product<T, S> p) {
  __shared__ float x_tile[kDepth][kTile + 4], w_tile[kDepth][kTile + 4];
  let_next_start();
  wait_for_previous();
  const int row0 = blockIdx.x * kTile, column0 = blockIdx.y * kTile;
  const int tx = threadIdx.x % 16, ty = threadIdx.x / 16;
  float sums[4][4] = {};
  for (int k0 = 0; k0 < p.in; k0 += kDepth) {
    for (int i = threadIdx.x; i < kTile * kDepth; i += kManyThreads) {
      const int r = i / kDepth, k = i % kDepth;
      const bool inside = k0 + k < p.in;
      x_tile[k][r] = inside && row0 + r < p.rows ? to_float(p.x[(row0 + r) * p.x_stride + k0 + k]) : 0;
      w_tile[k][r] =
          inside && column0 + r < p.out ? to_float(p.w[std::int64_t{column0 + r} * p.in + k0 + k]) : 0;
    }
    __syncthreads();
#pragma unroll
    for (int k = 0; k < kDepth; ++k) {
      const auto x = *reinterpret_cast<const Pack<float, 4>*>(&x_tile[k][4 * ty]);
      const auto w = *reinterpret_cast<const Pack<float, 4>*>(&w_tile[k][4 * tx]);
#pragma unroll
      for (int i = 0; i < 4; ++i) {
#pragma unroll
        for (int j = 0; j < 4; ++j) sums[i][j] = fmaf(x.v[i], w.v[j], sums[i][j]);
      }
    }
    __syncthreads();
  }
#pragma unroll
  for (int i = 0; i < 4; ++i) {
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      const int row = row0 + 4 * ty + i, column = column0 + 4 * tx + j;
      if (row < p.rows && column < p.out) p.finish(sums[i][j], row, column);
    }
  }
}

template <class T, class S>
void run(Context& context, const Product<T, S>& p, RowClass rows) {
  if (rows == RowClass::few) {
    launch(context, "linear", few_rows_kernel<T, S>, blocks_for(p.out, kFewThreads / 32), kFewThreads, 0, p);
  } else {
    launch(context, "linear", many_rows_kernel<T, S>,
           dim3(blocks_for(p.rows, kTile), blocks_for(p.out, kTile)), kManyThreads, 0, p);
  }
}

}  // namespace

Tensor CudaOps::gated_linear(const Tensor& x, const Weight& gate, const Weight& up, RowClass row_class) {
  const std::int64_t rows = x.rows(), in = x.columns(), out = gate.out_features;
  GLMOCR_CHECK(gate.in_features == in && up.in_features == in && up.out_features == out);
  const bool tensor_cores = x.dtype == DType::bf16 && gate.data.dtype == DType::bf16 &&
                            up.data.dtype == DType::bf16 && rows_are_aligned(x) &&
                            rows_are_aligned(gate.data) && rows_are_aligned(up.data);
  // With many rows of that class two products in one launch are faster; the bits are the same.
  const bool few = row_class == RowClass::few;
  if (rows == 0 || !tensor_cores || !(few || context_.hopper) || out % 8 != 0) {
    return Ops::gated_linear(x, gate, up, row_class);
  }
  const Tensor y = device_.scratch({rows, out}, x.dtype);
  const Bf16Product p{.x = data<const bf16_t>(x),
                      .x_stride = x.row_stride(),
                      .w = data<const bf16_t>(gate.data),
                      .rows = static_cast<int>(rows),
                      .in = static_cast<int>(in),
                      .out = static_cast<int>(out),
                      .bias = data<const float>(gate.bias),
                      .activation = Activation::none,
                      .residual = nullptr,
                      .residual_stride = 0,
                      .y = data<bf16_t>(y),
                      .y_stride = out,
                      .up = data<const bf16_t>(up.data),
                      .up_bias = data<const float>(up.bias)};
  few ? run_few_rows(context_, p) : run_many_rows_sm90(context_, p);
  return y;
}

namespace {

// A product as a convolution: its rows are the pixels of a map.
void convolve_rows(Ops& ops, const Tensor& x, const Weight& weight, const LinearOptions& options,
                   const Tensor& y) {
  GLMOCR_CHECK(options.rows == RowClass::many);
  const auto map = [](const Tensor& t) {
    if (!t) return t;
    Tensor pixels = t;
    const std::int64_t rows = t.rows(), stride = t.row_stride();
    pixels.shape = {1, 1, rows, t.columns()};
    pixels.strides = {rows * stride, rows * stride, stride, 1};
    return pixels;
  };
  Weight kernel = weight;
  kernel.use = WeightUse::convolution;
  ops.convolve(map(x), kernel, {},
               {.activation = options.activation, .residual = map(options.residual), .out = map(y)});
}

}  // namespace

std::array<Tensor, 3> CudaOps::linear_three(const Tensor& x, const std::array<const Weight*, 3>& weights,
                                            RowClass row_class, const std::array<Tensor, 3>& out) {
  // Few rows are joined when they are launched (linear_few.cu).
  bool fused = row_class == RowClass::many && context_.hopper && x.dtype == DType::bf16 && x.rows() > 0 &&
               rows_are_aligned(x);
  for (const Weight* weight : weights) {
    fused = fused && weight->layout == WeightLayout::rows && weight->data.dtype == DType::bf16 &&
            rows_are_aligned(weight->data) && weight->in_features == x.columns();
  }
  if (!fused) return Ops::linear_three(x, weights, row_class, out);
  std::array<Tensor, 3> y;
  std::array<Bf16Product, 3> products;
  for (std::size_t i = 0; i < y.size(); ++i) {
    y[i] = output(out[i], {x.rows(), weights[i]->out_features}, x.dtype);
    products[i] = {.x = data<const bf16_t>(x),
                   .x_stride = x.row_stride(),
                   .w = data<const bf16_t>(weights[i]->data),
                   .rows = static_cast<int>(x.rows()),
                   .in = static_cast<int>(x.columns()),
                   .out = static_cast<int>(weights[i]->out_features),
                   .bias = data<const float>(weights[i]->bias),
                   .activation = Activation::none,
                   .residual = nullptr,
                   .residual_stride = 0,
                   .y = data<bf16_t>(y[i]),
                   .y_stride = y[i].row_stride()};
  }
  return run_three_sm90(context_, products) ? y : Ops::linear_three(x, weights, row_class, y);
}

Tensor CudaOps::linear(const Tensor& x, const Weight& weight, const LinearOptions& options) {
  const std::int64_t rows = x.rows(), in = x.columns(), out = weight.out_features;
  GLMOCR_CHECK(weight.in_features == in && weight.use == WeightUse::linear &&
               (weight.layout == WeightLayout::rows || weight.layout == WeightLayout::halves));
  const Tensor y = output(options.out, {rows, out}, x.dtype);
  if (rows == 0) return y;
  const Tensor& residual = options.residual;
  GLMOCR_CHECK(!residual || (residual.shape == y.shape && residual.dtype == y.dtype));
  if (weight.layout == WeightLayout::halves) {
    convolve_rows(*this, x, weight, options, y);
    return y;
  }
  with_compute_type(x.dtype, [&](auto value) {
    with_stored_type(weight.data.dtype, [&](auto stored) {
      using T = decltype(value);
      using S = decltype(stored);
      const Product<T, S> p{.x = data<const T>(x),
                            .x_stride = x.row_stride(),
                            .w = data<const S>(weight.data),
                            .rows = static_cast<int>(rows),
                            .in = static_cast<int>(in),
                            .out = static_cast<int>(out),
                            .bias = data<const float>(weight.bias),
                            .activation = options.activation,
                            .residual = data<const T>(residual),
                            .residual_stride = residual ? residual.row_stride() : 0,
                            .y = data<T>(y),
                            .y_stride = y.row_stride()};
      if constexpr (std::is_same_v<Product<T, S>, Bf16Product>) {
        if (rows_are_aligned(x) && rows_are_aligned(weight.data)) {
          if (options.rows == RowClass::few) return run_few_rows(context_, p);
          return context_.hopper ? run_many_rows_sm90(context_, p) : run_many_rows(context_, p);
        }
      }
      run(context_, p, options.rows);
    });
  });
  return y;
}

}  // namespace glmocr::cuda
