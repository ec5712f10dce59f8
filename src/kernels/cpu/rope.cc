// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>

#include "kernels/cpu/cpu_ops.h"
#include "kernels/cpu/thread_scratch.h"
#include "kernels/cpu/values.h"

namespace glmocr::cpu {

// Runs once per step: exact angles matter more than speed, so sine and cosine are taken in double.
Tensor CpuOps::rotary_table(const Tensor& positions, const Tensor& inv_freq, const Tensor& axis,
                            DType precision) {
  const std::int64_t n = positions.size(1), pairs = inv_freq.numel();
  GLMOCR_CHECK(inv_freq.is_contiguous() && axis.is_contiguous() && axis.numel() == pairs);
  const std::int64_t axis_stride = positions.strides[0];
  const Tensor table = device_.scratch({2, n, pairs}, DType::f32);
  const std::int32_t* position = positions.as<std::int32_t>();
  const std::int32_t* axis_of = axis.as<std::int32_t>();
  const float* frequency = inv_freq.as<float>();
  float* cos = table.as<float>();
  float* sin = cos + n * pairs;
  const auto rounded = [&](double value) {
    const float single = value;
    return precision == DType::bf16 ? round_to_bf16(single) : single;
  };
  parallel(n, 64 * pairs, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t r = begin; r < end; ++r) {
      for (std::int64_t p = 0; p < pairs; ++p) {
        const float angle = position[axis_of[p] * axis_stride + r] * frequency[p];
        cos[r * pairs + p] = rounded(std::cos(double{angle}));
        sin[r * pairs + p] = rounded(std::sin(double{angle}));
      }
    }
  });
  return table;
}

namespace {

void check_turned(const Tensor& x, const Tensor& table) {
  const std::int64_t n = x.size(0), dim = x.size(2), pairs = dim / 2;
  GLMOCR_CHECK(is_compute_type(x.dtype) && dim % 2 == 0 && x.strides[2] == 1);
  GLMOCR_CHECK(table.size(1) == n && table.size(2) == pairs);
  GLMOCR_CHECK(table.strides[1] == pairs && table.strides[2] == 1);
}

// Turns the heads of row `row`, `stride` apart, into y [n, heads, dim].
RopeTask turning(const void* from, std::int64_t stride, const Tensor& table, RopeStyle style, const Tensor& y,
                 std::int64_t row) {
  const std::int64_t heads = y.size(1), dim = y.size(2), pairs = dim / 2;
  const float* cos = table.as<float>() + row * pairs;
  return {from,
          stride,
          heads,
          dim,
          cos,
          cos + table.strides[0],
          style == RopeStyle::interleaved,
          at(y, row * heads * dim),
          type_of(y.dtype)};
}

}  // namespace

Tensor CpuOps::rope(const Tensor& x, const Tensor& table, RopeStyle style, const Tensor& out) {
  check_turned(x, table);
  const std::int64_t n = x.size(0), heads = x.size(1), dim = x.size(2);
  const Tensor y = output(out, {n, heads, dim}, x.dtype);
  GLMOCR_CHECK(y.is_contiguous());
  parallel(n, 8 * heads * dim, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t r = begin; r < end; ++r) {
      kernels_.rope(turning(at(x, r * x.strides[0]), x.strides[1], table, style, y, r));
    }
  });
  return y;
}

// Row by row, so that what the norm gives is in the cache when it is turned.
Tensor CpuOps::norm_rope(const Tensor& x, const Tensor& weight, float eps, const Tensor& table,
                         RopeStyle style, const Tensor& out) {
  check_turned(x, table);
  const std::int64_t n = x.size(0), heads = x.size(1), dim = x.size(2);
  GLMOCR_CHECK(weight.numel() == dim);
  const Tensor y = output(out, {n, heads, dim}, x.dtype);
  GLMOCR_CHECK(y.is_contiguous());
  const Type type = type_of(x.dtype);
  parallel(n, 16 * heads * dim, [&](std::int64_t begin, std::int64_t end) {
    std::byte* normed = thread_scratch(heads * dim * size_of(x.dtype));
    NormTask norm = {};
    norm.rows = heads, norm.width = dim, norm.weight = weight.as<float>(), norm.eps = eps;
    norm.out = {normed, dim, type};
    for (std::int64_t r = begin; r < end; ++r) {
      norm.x = {at(x, r * x.strides[0]), x.strides[1], type};
      kernels_.rms_norm(norm);
      kernels_.rope(turning(normed, dim, table, style, y, r));
    }
  });
  return y;
}

}  // namespace glmocr::cpu
