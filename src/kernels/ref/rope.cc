// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "kernels/ref/ref_ops.h"
#include "kernels/ref/values.h"

namespace glmocr::ref {

Tensor RefOps::rotary_table(const Tensor& positions, const Tensor& inv_freq, const Tensor& axis,
                            DType precision) {
  const std::int64_t n = positions.size(1), pairs = inv_freq.numel();
  const Tensor table = device_.scratch({2, n, pairs}, DType::f32);
  for (std::int64_t r = 0; r < n; ++r) {
    for (std::int64_t p = 0; p < pairs; ++p) {
      const std::int32_t position =
          positions.as<std::int32_t>()[axis.as<std::int32_t>()[p] * positions.strides[0] + r];
      const float angle = position * inv_freq.as<float>()[p];
      table.as<float>()[r * pairs + p] = rounded(precision, std::cos(double{angle}));
      table.as<float>()[(n + r) * pairs + p] = rounded(precision, std::sin(double{angle}));
    }
  }
  return table;
}

Tensor RefOps::rope(const Tensor& x, const Tensor& table, RopeStyle style, const Tensor& out) {
  const std::int64_t n = x.size(0), heads = x.size(1), dim = x.size(2), pairs = dim / 2;
  GLMOCR_CHECK(table.size(1) == n && table.size(2) == pairs);
  const Tensor y = output(out, {n, heads, dim}, x.dtype);
  GLMOCR_CHECK(y.is_contiguous());
  // In bf16 the interleaved style rounds each product: transformers rotates in bf16 there.
  const DType step = style == RopeStyle::interleaved ? x.dtype : DType::f32;
  for (std::int64_t r = 0; r < n; ++r) {
    const float* cos = table.as<float>() + r * table.strides[1];
    const float* sin = cos + table.strides[0];
    for (std::int64_t h = 0; h < heads; ++h) {
      for (std::int64_t p = 0; p < pairs; ++p) {
        const std::int64_t i = style == RopeStyle::interleaved ? 2 * p : p;
        const std::int64_t j = style == RopeStyle::interleaved ? 2 * p + 1 : p + pairs;
        const float a = get(x, r * x.strides[0] + h * x.strides[1] + i);
        const float b = get(x, r * x.strides[0] + h * x.strides[1] + j);
        const std::int64_t to = (r * heads + h) * dim;
        put(y, to + i, rounded(step, a * cos[p]) - rounded(step, b * sin[p]));
        put(y, to + j, rounded(step, b * cos[p]) + rounded(step, a * sin[p]));
      }
    }
  }
  return y;
}

}  // namespace glmocr::ref
