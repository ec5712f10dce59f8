// SPDX-License-Identifier: Apache-2.0
#include "kernels/cuda/cuda_ops.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/values.cuh"

namespace glmocr::cuda {
namespace {

constexpr int kThreads = 256;

// Bound by memory: reads gate and up once, writes y once.
template <class T, int N>
__global__ void swiglu_kernel(const T* gate, std::int64_t gate_stride, const T* up, std::int64_t up_stride,
                              T* y, std::int64_t packs_per_row, std::int64_t packs) {
  let_next_start();
  wait_for_previous();
  const std::int64_t i = std::int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (i >= packs) return;
  const std::int64_t row = i / packs_per_row, column = i % packs_per_row * N;
  const auto g = *reinterpret_cast<const Pack<T, N>*>(gate + row * gate_stride + column);
  const auto u = *reinterpret_cast<const Pack<T, N>*>(up + row * up_stride + column);
  Pack<T, N> out;
#pragma unroll
  for (int k = 0; k < N; ++k) {
    out.v[k] = from_float<T>(rounded<T>(apply<T>(Activation::silu, to_float(g.v[k]))) * to_float(u.v[k]));
  }
  *reinterpret_cast<Pack<T, N>*>(y + i * N) = out;
}

// Bound by memory.
template <class T>
__global__ void activate_kernel(const T* x, std::int64_t stride, T* y, std::int64_t width, std::int64_t count,
                                Activation activation) {
  let_next_start();
  wait_for_previous();
  const std::int64_t i = std::int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (i < count) y[i] = from_float<T>(apply<T>(activation, to_float(x[i / width * stride + i % width])));
}

}  // namespace

Tensor CudaOps::swiglu(const Tensor& gate, const Tensor& up) {
  const std::int64_t rows = gate.rows(), width = gate.columns();
  GLMOCR_CHECK(up.shape == gate.shape && up.dtype == gate.dtype);
  const Tensor y = device_.scratch({rows, width}, gate.dtype);
  with_compute_type(gate.dtype, [&](auto value) {
    using T = decltype(value);
    constexpr int kPack = 16 / sizeof(T);
    const auto run = [&](auto* kernel, int pack) {
      const std::int64_t packs = rows * width / pack;
      launch(context_, "swiglu", kernel, blocks_for(packs, kThreads), kThreads, 0, data<T>(gate),
             gate.row_stride(), data<T>(up), up.row_stride(), data<T>(y), width / pack, packs);
    };
    if (rows_are_aligned(gate) && rows_are_aligned(up)) {
      run(swiglu_kernel<T, kPack>, kPack);
    } else {
      run(swiglu_kernel<T, 1>, 1);
    }
  });
  return y;
}

Tensor CudaOps::activate(const Tensor& x, Activation activation) {
  const Tensor y = device_.scratch({x.rows(), x.columns()}, x.dtype);
  with_compute_type(x.dtype, [&](auto value) {
    using T = decltype(value);
    launch(context_, "activate", activate_kernel<T>, blocks_for(y.numel(), kThreads), kThreads, 0, data<T>(x),
           x.row_stride(), data<T>(y), x.columns(), y.numel(), activation);
  });
  return y;
}

}  // namespace glmocr::cuda
