// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "kernels/ref/ref_ops.h"
#include "kernels/ref/values.h"

namespace glmocr::ref {

Tensor RefOps::rms_norm(const Tensor& x, const Tensor& weight, const NormOptions& options) {
  const std::int64_t width = x.columns();
  const float* w = weight.as<float>();
  GLMOCR_CHECK(weight.numel() == width);
  const Tensor y = output(options.out, x.shape, x.dtype);
  for (std::int64_t r = 0; r < x.rows(); ++r) {
    const std::int64_t row = row_offset(x, r);
    double squares = 0;
    for (std::int64_t c = 0; c < width; ++c)
      squares += static_cast<double>(get(x, row + c)) * get(x, row + c);
    const auto scale = static_cast<float>(1 / std::sqrt(squares / static_cast<double>(width) + options.eps));
    for (std::int64_t c = 0; c < width; ++c) {
      float value = w[c] * rounded(x.dtype, get(x, row + c) * scale);
      if (options.residual) {
        value = rounded(x.dtype, value) + get(options.residual, r * options.residual.row_stride() + c);
      }
      put(y, r * y.row_stride() + c, value);
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
    const double mean = sum / static_cast<double>(width);
    for (std::int64_t c = 0; c < width; ++c) squares += (get(x, row + c) - mean) * (get(x, row + c) - mean);
    const double scale = 1 / std::sqrt(squares / static_cast<double>(width) + options.eps);
    for (std::int64_t c = 0; c < width; ++c) {
      const double value = (get(x, row + c) - mean) * scale * weight.as<float>()[c] + bias.as<float>()[c];
      put(y, r * y.row_stride() + c, static_cast<float>(value));
    }
  }
  return y;
}

}  // namespace glmocr::ref
