// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "kernels/ref/ref_ops.h"
#include "kernels/ref/values.h"

namespace glmocr::ref {
namespace {

// y[r, c] = round(value), or round(round(value) + residual[r, c]).
void store(float value, const Tensor& residual, const Tensor& y, std::int64_t r, std::int64_t c) {
  if (residual) value = rounded(y.dtype, value) + get(residual, r * residual.row_stride() + c);
  put(y, r * y.row_stride() + c, value);
}

}  // namespace

Tensor RefOps::rms_norm(const Tensor& x, const Tensor& weight, const NormOptions& options) {
  const std::int64_t width = x.columns();
  const float* w = weight.as<float>();
  GLMOCR_CHECK(weight.numel() == width);
  const Tensor y = output(options.out, x.shape, x.dtype);
  for (std::int64_t r = 0; r < x.rows(); ++r) {
    const std::int64_t row = row_offset(x, r);
    double squares = 0;
    for (std::int64_t c = 0; c < width; ++c) squares += double{get(x, row + c)} * get(x, row + c);
    const float scale = 1 / std::sqrt(squares / width + options.eps);
    for (std::int64_t c = 0; c < width; ++c) {
      store(w[c] * rounded(x.dtype, get(x, row + c) * scale), options.residual, y, r, c);
    }
  }
  return y;
}

Tensor RefOps::layer_norm(const Tensor& x, const Tensor& weight, const Tensor& bias,
                          const NormOptions& options) {
  const std::int64_t width = x.columns();
  const Tensor y = output(options.out, x.shape, x.dtype);
  for (std::int64_t r = 0; r < x.rows(); ++r) {
    const std::int64_t row = row_offset(x, r);
    double sum = 0, squares = 0;
    for (std::int64_t c = 0; c < width; ++c) sum += get(x, row + c);
    const double mean = sum / width;
    for (std::int64_t c = 0; c < width; ++c) squares += (get(x, row + c) - mean) * (get(x, row + c) - mean);
    const double scale = 1 / std::sqrt(squares / width + options.eps);
    for (std::int64_t c = 0; c < width; ++c) {
      const double value = (get(x, row + c) - mean) * scale * weight.as<float>()[c] + bias.as<float>()[c];
      store(value, options.residual, y, r, c);
    }
  }
  return y;
}

}  // namespace glmocr::ref
