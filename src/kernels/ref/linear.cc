// SPDX-License-Identifier: Apache-2.0
#include "kernels/ref/ref_ops.h"
#include "kernels/ref/values.h"

namespace glmocr::ref {

Tensor RefOps::linear(const Tensor& x, const Weight& weight, const LinearOptions& options) {
  const std::int64_t rows = x.rows(), in = x.columns(), out = weight.out_features;
  GLMOCR_CHECK(weight.in_features == in);
  const Tensor y = output(options.out, {rows, out}, x.dtype);
  const std::int64_t x_stride = x.row_stride();
  for (std::int64_t r = 0; r < rows; ++r) {
    for (std::int64_t o = 0; o < out; ++o) {
      double sum = weight.bias ? weight.bias.as<float>()[o] : 0;
      for (std::int64_t i = 0; i < in; ++i) {
        sum += double{get(x, r * x_stride + i)} * get(weight.data, o * in + i);
      }
      float value = apply(options.activation, rounded(x.dtype, sum));
      if (options.residual) {
        value = rounded(x.dtype, value) + get(options.residual, r * options.residual.row_stride() + o);
      }
      put(y, r * y.row_stride() + o, value);
    }
  }
  return y;
}

}  // namespace glmocr::ref
