// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <array>

#include "kernels/cuda/context.h"
#include "kernels/cuda/values.cuh"

namespace glmocr::cuda {

// A product y = x · Wᵀ and what follows it. T is the compute type, S the stored type of the weights.
template <class T, class S>
struct Product {
  const T* x;  // [rows, in]
  std::int64_t x_stride;
  const S* w;  // [out, in]
  int rows, in, out;
  const float* bias;  // [out], or null
  Activation activation;
  const T* residual;  // [rows, out], or null
  std::int64_t residual_stride;
  T* y;  // [rows, out]
  std::int64_t y_stride;
  // With a second matrix [out, in] (out a multiple of 8) the result is round(round(silu(round(x · Wᵀ + bias))) · round(x · Uᵀ + up_bias)); then
  // there is neither activation nor residual.
  const S* up = nullptr;
  const float* up_bias = nullptr;

  // The result at [row, column] from its sum: ops.h says where it is rounded.
  __device__ __forceinline__ void finish(float sum, int row, int column) const {
    if (bias) sum += bias[column];
    float value = rounded<T>(sum);
    if (activation != Activation::none) value = apply<T>(activation, value);
    if (residual) value = rounded<T>(value) + to_float(residual[row * residual_stride + column]);
    y[row * y_stride + column] = from_float<T>(value);
  }
  __device__ __forceinline__ static float gated(float gate, float up_sum) {
    return rounded<T>(apply<T>(Activation::silu, rounded<T>(gate))) * rounded<T>(up_sum);
  }
  __device__ __forceinline__ void finish_gated(float gate, float up_sum, int row, int column) const {
    if (bias) gate += bias[column];
    if (up_bias) up_sum += up_bias[column];
    y[row * y_stride + column] = from_float<T>(gated(gate, up_sum));
  }
  // The results at [row, column + 8 · i] and [.., column + 8 · i + 1] for kPairs of i, from their sums in the order
  // of mma(): `half` is 0 for the first row of its results, 1 for the second. What is added is read before anything
  // is written, all of it at once. kActivated: activation is not none. Kernels are compiled for both, because the
  // processor would have to jump over the code of the activations for every result, which costs more than the product.
  template <int kPairs, bool kActivated>
  __device__ __forceinline__ void finish_pairs(const float (*sums)[4], int half, int row, int column) const {
    if (row >= rows) return;
    float low[kPairs], high[kPairs], more[kPairs][2] = {}, offset[kPairs][2] = {};
#pragma unroll
    for (int i = 0; i < kPairs; ++i) {
      const int at = column + 8 * i;
      if (bias && at < out) offset[i][0] = __ldg(bias + at);
      if (bias && at + 1 < out) offset[i][1] = __ldg(bias + at + 1);
      if (residual && at < out) more[i][0] = to_float(residual[row * residual_stride + at]);
      if (residual && at + 1 < out) more[i][1] = to_float(residual[row * residual_stride + at + 1]);
    }
#pragma unroll
    for (int i = 0; i < kPairs; ++i) {
      low[i] = rounded<T>(sums[i][2 * half] + offset[i][0]);
      high[i] = rounded<T>(sums[i][2 * half + 1] + offset[i][1]);
      if constexpr (kActivated) {
        low[i] = apply<T>(activation, low[i]);
        high[i] = apply<T>(activation, high[i]);
      }
      if (residual) {
        low[i] = rounded<T>(low[i]) + more[i][0];
        high[i] = rounded<T>(high[i]) + more[i][1];
      }
    }
    T* to = y + row * y_stride;
    const bool packed = reinterpret_cast<std::uintptr_t>(to) % (2 * sizeof(T)) == 0;
#pragma unroll
    for (int i = 0; i < kPairs; ++i) {
      const int at = column + 8 * i;
      if (packed && at + 1 < out) {
        *reinterpret_cast<Pack<T, 2>*>(to + at) = {from_float<T>(low[i]), from_float<T>(high[i])};
        continue;
      }
      if (at < out) to[at] = from_float<T>(low[i]);
      if (at + 1 < out) to[at + 1] = from_float<T>(high[i]);
    }
  }
};

// add_norm (ops.h) of bf16 rows. While a step is recorded that of a single row waits, as context.delayed_norm, for products
// of its result, which compute it themselves (linear_few.cu).
struct AddNorm {
  const bf16_t* y;
  bf16_t *x, *out;
  std::int64_t y_stride, x_stride, out_stride;
  const float *weight, *next;
  int rows, width;
  float eps;
};
inline constexpr int kAddNormThreads = 256;

// Each runs a product with one order of sums, whatever the number of rows.
using Bf16Product = Product<bf16_t, bf16_t>;
// On tensor cores; rows of x and W must be multiples of 16 bytes, at such addresses. A second matrix is taken by
// run_few_rows and run_many_rows_sm90.
void run_few_rows(Context& context, const Bf16Product& product);
void run_many_rows(Context& context, const Bf16Product& product);
void run_many_rows_sm90(Context& context, const Bf16Product& product);
// Three products of the same rows in one launch; false where that does not suit them.
bool run_three_sm90(Context& context, const std::array<Bf16Product, 3>& products);

}  // namespace glmocr::cuda
