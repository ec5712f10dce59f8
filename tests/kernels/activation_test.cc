// SPDX-License-Identifier: Apache-2.0
#include "kernel_test.h"

namespace glmocr::test {
namespace {

class ActivationTest : public KernelTest {
 protected:
  // Every binade and both signs, dense around zero, up to the largest values that matter.
  static Numbers arguments() {
    Numbers values{0.0f, -0.0f, 1e-30f, -1e-30f, 88.0f, -88.0f, 104.0f, -104.0f, 1e4f, -1e4f};
    for (float v = 0x1p-20f; v < 90; v *= 1.013f) {
      values.push_back(v);
      values.push_back(-v);
    }
    return values;
  }
};

TEST_P(ActivationTest, SiluAndExactGelu) {
  const Numbers x = arguments();
  const auto n = std::ssize(x);
  for (const Activation activation : {Activation::none, Activation::silu, Activation::gelu}) {
    const auto op = [&](Device& device) {
      return device.ops().activate(make(device, x, {1, n}, dtype_), activation);
    };
    // 8 units of fp32 where ref itself is exact: below x = −8 its 1 + erf(x / √2) has no digits left.
    const Tolerance exact{1e-14, 8 * kUnit32};
    const Tolerance rounded{1e-14, kUnitBf16};
    compare(op, dtype_ == DType::bf16 ? rounded : exact,
            activation == Activation::none   ? "none"
            : activation == Activation::silu ? "silu"
                                             : "gelu");
  }
}

TEST_P(ActivationTest, OddSizesAndStrides) {
  for (const std::int64_t width : {1, 7, 8, 15, 33, 1024}) {
    const Numbers x = random(5 * width, -6, 6);
    const auto op = [&](Device& device) {
      return device.ops().activate(make(device, x, {5, width}, dtype_, 3), Activation::gelu);
    };
    compare(op, reduction(dtype_, 8, 1, 1), "width " + std::to_string(width));
  }
}

TEST_P(ActivationTest, NanStaysNan) {
  for (const Activation activation : {Activation::silu, Activation::gelu}) {
    const Tensor y = tested_->ops().activate(make(*tested_, Numbers(9, NAN), {1, 9}, dtype_), activation);
    for (const float value : download(*tested_, y)) EXPECT_TRUE(std::isnan(value));
  }
}

TEST_P(ActivationTest, SwigluOfHalvesOfOneMatrix) {
  for (const std::int64_t rows : {1, 4, 70}) {
    for (const std::int64_t width : {1, 5, 16, 100, 1024}) {
      const Numbers both = random(rows * 2 * width, -5, 5);
      const auto op = [&](Device& device) {
        const Tensor x = make(device, both, {rows, 2 * width}, dtype_);
        return device.ops().swiglu(x.slice(1, 0, width), x.slice(1, width, 2 * width));
      };
      // silu rounded, then the product: two roundings, both relative.
      Tolerance t = reduction(dtype_, 8, 1, 1);
      if (dtype_ == DType::bf16) t.relative += kUnitBf16;
      compare(op, t, std::to_string(rows) + " × " + std::to_string(width));
    }
  }
}

GLMOCR_KERNEL_SUITE(ActivationTest);

}  // namespace
}  // namespace glmocr::test
