// SPDX-License-Identifier: Apache-2.0
#include "kernels/cuda/cuda_ops.h"
#include "kernels/cuda/launch.h"
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

// The sum over the threads that share a row: lanes of each warp, then the warps in order.
template <int kThreads>
__device__ float row_sum(float value, float* shared) {
#pragma unroll
  for (int step = kThreads < 32 ? kThreads / 2 : 16; step > 0; step /= 2) {
    value += __shfl_xor_sync(0xffffffffu, value, step);
  }
  if constexpr (kThreads <= 32) return value;
  __syncthreads();  // the previous sum has been read
  if (threadIdx.x % 32 == 0) shared[threadIdx.x / 32] = value;
  __syncthreads();
  float sum = 0;
#pragma unroll
  for (int w = 0; w < kThreads / 32; ++w) sum += shared[w];
  return sum;
}

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

template <class T>
struct AddNormArguments {
  const T *y, *x;
  Rows y_rows, x_rows, out_rows;
  const float *weight, *next;
  T *x_out, *out;
  int width;
  float eps;
};

// Bound by memory: a row stays in registers from its first read on. The sums are those of norm_kernel.
template <class T, int kThreads, int N, int kPacks>
__global__ void __launch_bounds__(kThreads) add_norm_kernel(const AddNormArguments<T> a) {
  __shared__ float shared[32];
  let_next_start();
  Pack<float, N> weight[kPacks], next[kPacks];
  const auto column = [&](int p) { return (p * kThreads + static_cast<int>(threadIdx.x)) * N; };
#pragma unroll
  for (int p = 0; p < kPacks; ++p) {  // weights do not change: no need to wait
    if (column(p) >= a.width) break;
    weight[p] = *reinterpret_cast<const Pack<float, N>*>(a.weight + column(p));
    next[p] = *reinterpret_cast<const Pack<float, N>*>(a.next + column(p));
  }
  wait_for_previous();
  const std::int64_t row = blockIdx.x;
  const T *y = a.y + a.y_rows.offset(row), *x = a.x + a.x_rows.offset(row);
  float value[kPacks][N] = {};
  Pack<T, N> more[kPacks] = {};
#pragma unroll
  for (int p = 0; p < kPacks; ++p) {
    if (column(p) >= a.width) break;
    const auto pack = *reinterpret_cast<const Pack<T, N>*>(y + column(p));
    more[p] = *reinterpret_cast<const Pack<T, N>*>(x + column(p));
#pragma unroll
    for (int k = 0; k < N; ++k) value[p][k] = to_float(pack.v[k]);
  }
  const auto scale_of = [&] {
    float squares = 0;
#pragma unroll
    for (int p = 0; p < kPacks; ++p) {
#pragma unroll
      for (int k = 0; k < N; ++k) squares += value[p][k] * value[p][k];
    }
    return 1 / sqrtf(row_sum<kThreads>(squares, shared) / a.width + a.eps);
  };
  const float first = scale_of();
#pragma unroll
  for (int p = 0; p < kPacks; ++p) {
    if (column(p) >= a.width) break;
    Pack<T, N> sum;
#pragma unroll
    for (int k = 0; k < N; ++k) {
      const float normed = rounded<T>(weight[p].v[k] * rounded<T>(value[p][k] * first));
      sum.v[k] = from_float<T>(normed + to_float(more[p].v[k]));
      value[p][k] = to_float(sum.v[k]);
    }
    *reinterpret_cast<Pack<T, N>*>(a.x_out + a.x_rows.offset(row) + column(p)) = sum;
  }
  const float second = scale_of();
  T* out = a.out + a.out_rows.offset(row);
#pragma unroll
  for (int p = 0; p < kPacks; ++p) {
    if (column(p) >= a.width) break;
    Pack<T, N> result;
#pragma unroll
    for (int k = 0; k < N; ++k) result.v[k] = from_float<T>(next[p].v[k] * rounded<T>(value[p][k] * second));
    *reinterpret_cast<Pack<T, N>*>(out + column(p)) = result;
  }
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
  constexpr int kThreads = 256, kPacks = 2;
  const std::int64_t width = x.columns();
  GLMOCR_CHECK(y.shape == x.shape && out.shape == x.shape && weight.numel() == width &&
               next.numel() == width);
  const bool packed = rows_are_aligned(x) && rows_are_aligned(y) && rows_are_aligned(out) &&
                      is_aligned(weight, 32) && is_aligned(next, 32);
  if (!packed || x.dtype != DType::bf16 || width <= 1024 || width > kThreads * kPacks * 8) {
    return Ops::add_norm(x, y, weight, next, eps, out);
  }
  writes(x);
  writes(out);
  const AddNormArguments<bf16_t> a{.y = data<bf16_t>(y),
                                   .x = data<bf16_t>(x),
                                   .y_rows = Rows(y),
                                   .x_rows = Rows(x),
                                   .out_rows = Rows(out),
                                   .weight = data<const float>(weight),
                                   .next = data<const float>(next),
                                   .x_out = data<bf16_t>(x),
                                   .out = data<bf16_t>(out),
                                   .width = static_cast<int>(width),
                                   .eps = eps};
  const auto run = [&](auto* kernel) {
    launch(context_, "add_norm", kernel, static_cast<unsigned>(x.rows()), kThreads, 0, a);
  };
  width <= kThreads * 8 ? run(add_norm_kernel<bf16_t, kThreads, 8, 1>)
                        : run(add_norm_kernel<bf16_t, kThreads, 8, kPacks>);
}

Tensor CudaOps::layer_norm(const Tensor& x, const Tensor& weight, const Tensor& bias,
                           const NormOptions& options) {
  GLMOCR_CHECK(bias.numel() == x.columns());
  const Tensor y = output(options.out, x.shape, x.dtype);
  run_norm<Norm::layer>(context_, x, weight, bias, options, y);
  return y;
}

}  // namespace glmocr::cuda
