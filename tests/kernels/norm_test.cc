// SPDX-License-Identifier: Apache-2.0
#include "kernel_test.h"

namespace glmocr::test {
namespace {

class NormTest : public KernelTest {};

struct Size {
  std::int64_t rows, width, gap;
};
constexpr Size kSizes[] = {{1, 1, 0},    {1, 64, 0},    {3, 48, 0},   {5, 31, 7},
                           {17, 320, 0}, {2, 1536, 64}, {40, 127, 0}, {300, 65, 1}};

TEST_P(NormTest, RmsNorm) {
  for (const Size& s : kSizes) {
    for (const bool residual : {false, true}) {
      const Numbers x = random(s.rows * s.width, -3, 3), w = random(s.width, -2, 2),
                    more = random(s.rows * s.width);
      const auto op = [&](Device& device) {
        NormOptions options;
        if (residual) options.residual = make(device, more, {s.rows, s.width}, dtype_, s.gap);
        return device.ops().rms_norm(make(device, x, {s.rows, s.width}, dtype_, s.gap),
                                     make(device, w, {s.width}, DType::f32), options);
      };
      // Σx² of width terms, relative to itself; values reach √width at most, times 2.
      const double size = 2 * std::sqrt(s.width);
      Tolerance t = reduction(dtype_, 4, size, 2 + residual, std::min(size, 8.0));
      t.relative += s.width * kUnit32;
      compare(op, t, "rms_norm " + std::to_string(s.rows) + " × " + std::to_string(s.width));
    }
  }
}

// A part of qkv: rows of heads, tokens further apart.
TEST_P(NormTest, RmsNormOfHeadsInsideQkv) {
  for (const std::int64_t dim : {48, 64}) {
    const std::int64_t n = 19, heads = 3;
    const Numbers qkv = random(n * 3 * heads * dim), w = random(dim);
    const auto op = [&](Device& device) {
      const Tensor k = make(device, qkv, {n, 3 * heads, dim}, dtype_).slice(1, heads, 2 * heads);
      return device.ops().rms_norm(k, make(device, w, {dim}, DType::f32));
    };
    Tolerance t = reduction(dtype_, 4, 2, 2, 2);
    t.relative += dim * kUnit32;
    compare(op, t, "head_dim " + std::to_string(dim));
  }
}

TEST_P(NormTest, InPlaceOfResidual) {
  const std::int64_t rows = 9, width = 100;
  const Numbers x = random(rows * width), w = random(width), more = random(rows * width);
  const auto op = [&](Device& device) {
    NormOptions options;
    options.residual = options.out = make(device, more, {rows, width}, dtype_);
    return device.ops().rms_norm(make(device, x, {rows, width}, dtype_), make(device, w, {width}, DType::f32),
                                 options);
  };
  compare(op, reduction(dtype_, width, 1, 3, 4), "out is residual");
}

// A sum and its norm; both are results.
TEST_P(NormTest, AddNorm) {
  for (const Size& s :
       {Size{1, 1536, 0}, {5, 1536, 8}, {3, 2056, 0}, {2, 64, 0}, {4, 1028, 0}, {40, 127, 0}}) {
    const Numbers x = random(s.rows * s.width, -3, 3), y = random(s.rows * s.width, -3, 3),
                  w = random(s.width, -2, 2), next = random(s.width, -2, 2);
    for (const bool sum : {false, true}) {
      const auto op = [&](Device& device) {
        const Shape shape{s.rows, s.width};
        const Tensor xs = make(device, x, shape, dtype_, s.gap), out = make(device, y, shape, dtype_);
        device.ops().add_norm(xs, make(device, y, shape, dtype_), make(device, w, {s.width}, DType::f32),
                              make(device, next, {s.width}, DType::f32), 1e-5f, out);
        return sum ? xs : out;
      };
      Tolerance t = reduction(dtype_, 8, 8, sum ? 3 : 5, 8);
      t.relative += 2 * s.width * kUnit32;
      compare(op, t, (sum ? "sum " : "norm ") + std::to_string(s.rows) + " × " + std::to_string(s.width));
    }
  }
}

TEST_P(NormTest, LayerNorm) {
  for (const Size& s : kSizes) {
    for (const bool residual : {false, true}) {
      // An offset as large as a mean may be in a network: the variance must come from centred values.
      const Numbers x = random(s.rows * s.width, 2, 6), w = random(s.width, -2, 2), b = random(s.width),
                    more = random(s.rows * s.width);
      const auto op = [&](Device& device) {
        NormOptions options;
        if (residual) options.residual = make(device, more, {s.rows, s.width}, dtype_, s.gap);
        return device.ops().layer_norm(make(device, x, {s.rows, s.width}, dtype_, s.gap),
                                       make(device, w, {s.width}, DType::f32),
                                       make(device, b, {s.width}, DType::f32), options);
      };
      // The mean is off by a few units of 6, divided by a deviation of about 1.
      Tolerance t = reduction(dtype_, s.width, 6, 1 + residual, 8);
      if (s.width == 1) t.absolute += 6 * kUnit32 / std::sqrt(1e-5);
      compare(op, t, "layer_norm " + std::to_string(s.rows) + " × " + std::to_string(s.width));
    }
  }
}

GLMOCR_KERNEL_SUITE(NormTest);

}  // namespace
}  // namespace glmocr::test
