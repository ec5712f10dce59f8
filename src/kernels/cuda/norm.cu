// SPDX-License-Identifier: Apache-2.0
#include "kernels/cuda/cuda_ops.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/linear.cuh"
#include "kernels/cuda/norm.cuh"
#include "kernels/cuda/values.cuh"

namespace glmocr::cuda {
namespace {

enum class Norm { rms, layer };

template <class T>
struct NormArguments {
  const T* x;
  Rows x_rows;
  const float* weight;
  const float* bias;  // layer_norm only
  const T* residual;  // or null
  Rows residual_rows;
  T* y;
  Rows y_rows;
  std::int64_t rows;
  int width;
  float eps;
};

// Bound by memory: x is read from it once, then from the cache. kThreads threads share a row, N values are
// loaded together.
template <Norm kNorm, class T, int kThreads, int N>
__global__ void norm_kernel(const NormArguments<T> a) {
  __shared__ float shared[32];
  let_next_start();
  wait_for_previous();
  // Several rows may share a warp, whose lanes stay together: those behind the last row repeat it.
  std::int64_t row = std::int64_t{blockIdx.x} * blockDim.y + threadIdx.y;
  const bool exists = row < a.rows;
  if (!exists) row = a.rows - 1;
  const T* x = a.x + a.x_rows.offset(row);
  const int first = threadIdx.x * N, step = kThreads * N;
  float mean = 0;
  if constexpr (kNorm == Norm::layer) {
    float sum = 0;
    for (int c = first; c < a.width; c += step) {
      const auto pack = *reinterpret_cast<const Pack<T, N>*>(x + c);
#pragma unroll
      for (int k = 0; k < N; ++k) sum += to_float(pack.v[k]);
    }
    mean = row_sum<kThreads>(sum, shared) / a.width;
  }
  float squares = 0;
  for (int c = first; c < a.width; c += step) {
    const auto pack = *reinterpret_cast<const Pack<T, N>*>(x + c);
#pragma unroll
    for (int k = 0; k < N; ++k) {
      const float centred = to_float(pack.v[k]) - mean;
      squares += centred * centred;
    }
  }
  const float scale = 1 / sqrtf(row_sum<kThreads>(squares, shared) / a.width + a.eps);
  if (!exists) return;
  const T* residual = a.residual ? a.residual + a.residual_rows.offset(row) : nullptr;
  T* y = a.y + a.y_rows.offset(row);
  for (int c = first; c < a.width; c += step) {
    const auto pack = *reinterpret_cast<const Pack<T, N>*>(x + c);
    const auto weight = *reinterpret_cast<const Pack<float, N>*>(a.weight + c);
    Pack<float, N> bias{}, value;
    Pack<T, N> more{}, out;
    if constexpr (kNorm == Norm::layer) bias = *reinterpret_cast<const Pack<float, N>*>(a.bias + c);
    if (residual) more = *reinterpret_cast<const Pack<T, N>*>(residual + c);
#pragma unroll
    for (int k = 0; k < N; ++k) {
      if constexpr (kNorm == Norm::rms) {
        value.v[k] = weight.v[k] * rounded<T>(to_float(pack.v[k]) * scale);
      } else {
        value.v[k] = (to_float(pack.v[k]) - mean) * scale * weight.v[k] + bias.v[k];
      }
      if (residual) value.v[k] = rounded<T>(value.v[k]) + to_float(more.v[k]);
      out.v[k] = from_float<T>(value.v[k]);
    }
    *reinterpret_cast<Pack<T, N>*>(y + c) = out;
  }
}

// Bound by memory: a row stays in registers from its first read on. The sums are those of norm_kernel.
template <int kPacks>
__global__ void __launch_bounds__(kAddNormThreads) add_norm_kernel(const AddNorm a) {
  using Row = AddedNorm<bf16_t, kAddNormThreads, 8, kPacks>;
  __shared__ float shared[32];
  let_next_start();
  Row row;
  row.width = a.width;
  typename Row::Weights weights;
  row.load_weights(weights, a.weight, a.next);
  wait_for_previous();
  const int index = blockIdx.x;
  row.compute(a.y + index * a.y_stride, a.x + index * a.x_stride, weights, a.eps, shared);
  row.store(a.x + index * a.x_stride, row.sum);
  row.store(a.out + index * a.out_stride, row.result);
}

template <Norm kNorm>
void run_norm(Context& context, const Tensor& x, const Tensor& weight, const Tensor& bias,
              const NormOptions& options, const Tensor& y) {
  GLMOCR_CHECK(weight.numel() == x.columns());
  GLMOCR_CHECK(!options.residual || options.residual.rows() == x.rows());
  const Tensor& residual = options.residual ? options.residual : x;
  with_compute_type(x.dtype, [&](auto value) {
    using T = decltype(value);
    const NormArguments<T> a{.x = data<T>(x),
                             .x_rows = Rows(x),
                             .weight = data<const float>(weight),
                             .bias = data<const float>(bias),
                             .residual = data<const T>(options.residual),
                             .residual_rows = Rows(residual),
                             .y = data<T>(y),
                             .y_rows = Rows(y),
                             .rows = x.rows(),
                             .width = static_cast<int>(x.columns()),
                             .eps = options.eps};
    const bool packed = rows_are_aligned(x) && rows_are_aligned(y) && rows_are_aligned(residual) &&
                        x.columns() % 4 == 0 && is_aligned(weight, 32) && (!bias || is_aligned(bias, 32));
    constexpr int kPack = 16 / sizeof(T);
    const auto run = [&](auto* kernel, int threads) {
      const int rows = threads <= 32 ? 128 / threads : 1;  // of a block
      launch(context, kNorm == Norm::rms ? "rms_norm" : "layer_norm", kernel, blocks_for(a.rows, rows),
             dim3(threads, rows), 0, a);
    };
    if (packed && a.width > 1024) return run(norm_kernel<kNorm, T, 256, kPack>, 256);
    if (packed && a.width > 256) return run(norm_kernel<kNorm, T, 128, kPack>, 128);
    if (packed && a.width > 64) return run(norm_kernel<kNorm, T, 32, kPack>, 32);
    if (packed) return run(norm_kernel<kNorm, T, 8, kPack>, 8);
    run(norm_kernel<kNorm, T, 32, 1>, 32);
  });
}

}  // namespace

Tensor CudaOps::rms_norm(const Tensor& x, const Tensor& weight, const NormOptions& options) {
  const Tensor y = output(options.out, x.shape, x.dtype);
  run_norm<Norm::rms>(context_, x, weight, {}, options, y);
  return y;
}

void CudaOps::add_norm(const Tensor& x, const Tensor& y, const Tensor& weight, const Tensor& next, float eps,
                       const Tensor& out) {
  constexpr int kPacks = 2;
  const std::int64_t width = x.columns();
  GLMOCR_CHECK(y.shape == x.shape && out.shape == x.shape && weight.numel() == width &&
               next.numel() == width);
  const bool packed = x.rank() == 2 && rows_are_aligned(x) && rows_are_aligned(y) && rows_are_aligned(out) &&
                      is_aligned(weight, 32) && is_aligned(next, 32);
  if (!packed || x.dtype != DType::bf16 || width <= 1024 || width > kAddNormThreads * kPacks * 8) {
    return Ops::add_norm(x, y, weight, next, eps, out);
  }
  writes(x);
  writes(out);
  const AddNorm a{.y = data<const bf16_t>(y),
                  .x = data<bf16_t>(x),
                  .out = data<bf16_t>(out),
                  .y_stride = y.row_stride(),
                  .x_stride = x.row_stride(),
                  .out_stride = out.row_stride(),
                  .weight = data<const float>(weight),
                  .next = data<const float>(next),
                  .rows = static_cast<int>(x.rows()),
                  .width = static_cast<int>(width),
                  .eps = eps};
  const bool narrow = width <= kAddNormThreads * 8;
  const auto run = [&context = context_, a, narrow] {
    launch(context, "add_norm", narrow ? add_norm_kernel<1> : add_norm_kernel<kPacks>, a.rows,
           kAddNormThreads, 0, a);
  };
  if (!context_.recording || !narrow || a.rows != 1) return run();
  context_.run_delayed();
  context_.delayed = run;
  context_.delayed_norm = std::make_shared<AddNorm>(a);
}

Tensor CudaOps::layer_norm(const Tensor& x, const Tensor& weight, const Tensor& bias,
                           const NormOptions& options) {
  GLMOCR_CHECK(bias.numel() == x.columns());
  const Tensor y = output(options.out, x.shape, x.dtype);
  run_norm<Norm::layer>(context_, x, weight, bias, options, y);
  return y;
}

}  // namespace glmocr::cuda
