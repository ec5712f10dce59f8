// SPDX-License-Identifier: Apache-2.0
#include <cstdint>
#include <vector>

#include "kernels/ref/ref_ops.h"
#include "kernels/ref/values.h"
#include "tensor/int8.h"

namespace glmocr::ref {
namespace {

// A row of x in eight bits, and its scale.
struct Int8Row {
  std::vector<std::int8_t> values;
  float scale = 0;

  Int8Row() = default;
  Int8Row(const Tensor& x, std::int64_t row, std::int64_t n) : values(n) {
    std::vector<float> wide(n);
    for (std::int64_t i = 0; i < n; ++i) wide[i] = get(x, row * x.row_stride() + i);
    scale = quantize_row(wide.data(), n, values.data());
  }
  // With the row `o` of a weight.
  float product(const Weight& weight, std::int64_t o) const {
    std::int32_t sum = 0;
    const std::int8_t* other = weight.data.as<std::int8_t>() + o * weight.in_features;
    for (std::size_t i = 0; i < values.size(); ++i) sum += values[i] * other[i];
    return static_cast<float>(sum) * (scale * weight.scale.as<float>()[o]);
  }
};

float product(const Tensor& x, std::int64_t row, const Weight& weight, std::int64_t o) {
  double sum = weight.bias ? weight.bias.as<float>()[o] : 0;
  const std::int64_t in = weight.in_features, first = row * x.row_stride();
  for (std::int64_t i = 0; i < in; ++i) sum += double{get(x, first + i)} * get(weight.data, o * in + i);
  return static_cast<float>(sum);
}

}  // namespace

Tensor RefOps::linear(const Tensor& x, const Weight& weight, const LinearOptions& options) {
  const std::int64_t rows = x.rows(), in = x.columns(), out = weight.out_features;
  GLMOCR_CHECK(weight.in_features == in);
  const Tensor y = output(options.out, {rows, out}, x.dtype);
  for (std::int64_t r = 0; r < rows; ++r) {
    const Int8Row eight_bits = weight.scale ? Int8Row(x, r, in) : Int8Row();
    for (std::int64_t o = 0; o < out; ++o) {
      const float bias = weight.scale && weight.bias ? weight.bias.as<float>()[o] : 0;
      const float sum = weight.scale ? eight_bits.product(weight, o) + bias : product(x, r, weight, o);
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
