// SPDX-License-Identifier: Apache-2.0
#pragma once
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

  // The result at [row, column] from its sum: ops.h says where it is rounded.
  __device__ __forceinline__ float finished(float sum, int row, int column) const {
    if (bias) sum += bias[column];
    float value = rounded<T>(sum);
    if (activation != Activation::none) value = apply(activation, value);
    if (residual) value = rounded<T>(value) + to_float(residual[row * residual_stride + column]);
    return value;
  }
  __device__ __forceinline__ void finish(float sum, int row, int column) const {
    y[row * y_stride + column] = from_float<T>(finished(sum, row, column));
  }
};

// Each runs a product with one order of sums, whatever the number of rows.
using Bf16Product = Product<bf16_t, bf16_t>;
// On tensor cores; rows of x and W must be multiples of 16 bytes, at such addresses.
void run_few_rows(Context& context, const Bf16Product& product);
void run_many_rows(Context& context, const Bf16Product& product);
void run_many_rows_sm90(Context& context, const Bf16Product& product);

}  // namespace glmocr::cuda
