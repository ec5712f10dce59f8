// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "kernels/ref/ref_ops.h"
#include "kernels/ref/values.h"

namespace glmocr::ref {

float apply(Activation activation, float value) {
  const double x = value;
  switch (activation) {
    case Activation::none:
      return value;
    case Activation::silu:
      return x / (1 + std::exp(-x));
    case Activation::gelu:
      return 0.5 * x * (1 + std::erf(x * 0.70710678118654752440));
    case Activation::relu:
      return x < 0 ? 0 : value;  // NaN stays NaN
  }
  return value;
}

Tensor RefOps::swiglu(const Tensor& gate, const Tensor& up) {
  const std::int64_t rows = gate.rows(), width = gate.columns();
  GLMOCR_CHECK(up.shape == gate.shape);
  const Tensor y = device_.scratch({rows, width}, gate.dtype);
  for (std::int64_t r = 0; r < rows; ++r) {
    for (std::int64_t c = 0; c < width; ++c) {
      const float activated = apply(Activation::silu, get(gate, r * gate.row_stride() + c));
      put(y, r * width + c, rounded(gate.dtype, activated) * get(up, r * up.row_stride() + c));
    }
  }
  return y;
}

Tensor RefOps::activate(const Tensor& x, Activation activation) {
  const Tensor y = device_.scratch({x.rows(), x.columns()}, x.dtype);
  for (std::int64_t r = 0; r < x.rows(); ++r) {
    for (std::int64_t c = 0; c < x.columns(); ++c) {
      put(y, r * x.columns() + c, apply(activation, get(x, r * x.row_stride() + c)));
    }
  }
  return y;
}

}  // namespace glmocr::ref
