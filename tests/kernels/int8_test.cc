// SPDX-License-Identifier: Apache-2.0
#include <limits>

#include "base/memory_budget.h"
#include "kernel_test.h"
#include "tensor/int8.h"

namespace glmocr::test {
namespace {

// Products in eight bits. Sums are exact, so beside activations all devices must have the bits of ref.
class Int8Test : public KernelTest {
 protected:
  struct Extras {
    bool bias = false;
    Activation activation = Activation::none;
    bool residual = false;
    std::int64_t gap = 0;
  };

  // Devices may refuse eight bits: then they say so.
  void SetUp() override {
    if (tested_->multiplies_int8()) return;
    EXPECT_THROW(make_int8_weight(*tested_, {std::int8_t{1}}, {1.0f}), Error);
    GTEST_SKIP() << "this device does not multiply in eight bits";
  }

  void run(std::int64_t rows, std::int64_t in, std::int64_t out, const Extras& extras, float spread = 1) {
    const Numbers x = random(rows * in, -spread, spread), scales = random(out, 0.0005f, 0.005f),
                  b = random(out), more = random(rows * out);
    const std::vector<std::int8_t> w = random_int8(out * in);
    const auto op = [&](Device& device, RowClass row_class) {
      LinearOptions options;
      options.rows = row_class;
      options.activation = extras.activation;
      if (extras.residual) options.residual = make(device, more, {rows, out}, dtype_, extras.gap);
      const Tensor xs = make(device, x, {rows, in}, dtype_, extras.gap);
      Weight ws = make_int8_weight(device, w, scales);
      if (extras.bias) ws.bias = make(device, b, {out}, DType::f32);
      poison(device);
      return device.ops().linear(xs, ws, options);
    };
    const bool act = extras.activation != Activation::none;
    Tolerance exact{0, 0, 0};
    if (act) exact = reduction(dtype_, 1, 100 * spread, 2, 100 * spread);
    for (const RowClass row_class : {RowClass::few, RowClass::many}) {
      compare([&](Device& device) { return op(device, row_class); }, exact,
              std::string(row_class == RowClass::few ? "few" : "many") + " x [" + std::to_string(rows) +
                  ", " + std::to_string(in) + "] · int8 [" + std::to_string(out) + ", " + std::to_string(in) +
                  "]");
    }
  }
};

TEST_P(Int8Test, AllShapes) {
  struct Size {
    std::int64_t rows, in, out;
  };
  const Size sizes[] = {{1, 1, 1},     {1, 64, 5},    {1, 321, 67},  {2, 33, 17},   {3, 127, 31},
                        {4, 64, 130},  {5, 48, 7},    {6, 66, 32},   {7, 96, 19},   {8, 257, 40},
                        {9, 64, 33},   {10, 63, 16},  {11, 62, 8},   {12, 61, 64},  {13, 31, 129},
                        {16, 320, 96}, {17, 17, 3},   {37, 17, 3},   {65, 300, 71}, {97, 513, 130},
                        {193, 40, 66}, {1, 4608, 70}, {200, 2100, 9}};
  for (const Size& s : sizes) run(s.rows, s.in, s.out, {});
}

TEST_P(Int8Test, Epilogues) {
  for (const std::int64_t rows : {1, 6, 30}) {
    run(rows, 50, 43, {true, Activation::none, false, 0});
    run(rows, 50, 43, {true, Activation::none, true, 5});
    run(rows, 50, 43, {false, Activation::silu, true, 3});
    run(rows, 50, 43, {true, Activation::gelu, false, 0});
  }
}

// The largest sums, of either sign: values at the ends of the range over the longest published rows.
TEST_P(Int8Test, LargestSums) {
  const std::int64_t in = 4608, out = 40;
  std::vector<std::int8_t> w(in * out);
  for (std::int64_t i = 0; i < in * out; ++i) w[i] = i / in % 2 ? std::int8_t{127} : std::int8_t{-128};
  for (const std::int64_t rows : {2, 20}) {
    Numbers x(rows * in, 3);
    for (std::int64_t i = in; i < 2 * in; ++i) x[i] = -3;
    compare(
        [&](Device& device) {
          return device.ops().linear(make(device, x, {rows, in}, dtype_),
                                     make_int8_weight(device, w, Numbers(out, 0.5f)));
        },
        {0, 0, 0}, "largest sums");
  }
}

// Where the memory limit has no room for a layout of its own, a device uses the values where they are; the bits are the same.
TEST_P(Int8Test, InPlaceWhereMemoryIsShort) {
  if (!tested_->name().starts_with("cpu")) GTEST_SKIP() << "no budget of ordinary memory";
  constexpr std::int64_t kLimit = 32 << 20;
  const auto budget = std::make_shared<MemoryBudget>(kLimit);
  const auto small = open_device("cpu:" + tested_->isa(), {.threads = 2, .memory = budget});
  const MemoryShare others(budget, kLimit / 4 * 3, "others");
  for (const std::int64_t rows : {1, 7, 40}) {
    const std::int64_t in = 133, out = 67;
    const Numbers x = random(rows * in), scales = random(out, 0.001f, 0.01f);
    const std::vector<std::int8_t> w = random_int8(in * out);
    const auto product = [&](Device& device, bool in_place) {
      const ArenaScope scope(device);
      const Weight weight = make_int8_weight(device, w, scales);
      EXPECT_EQ(weight.data.data == w.data(), in_place);
      return download(device, device.ops().linear(make(device, x, {rows, in}, dtype_), weight));
    };
    EXPECT_EQ(product(*small, true), product(*tested_, false)) << rows << " rows";
  }
}

// Rows of zeros, of tiny and of huge values.
TEST_P(Int8Test, RowsOfEverySize) {
  const std::int64_t in = 37, out = 21;
  const std::vector<std::int8_t> w = random_int8(in * out);
  Numbers x;
  for (const float size : {0.0f, 1e-38f, 1e-31f, 1e-20f, 1.0f, 1e20f, 1e34f}) {
    for (const float value : random(in)) x.push_back(value * size);
  }
  compare(
      [&](Device& device) {
        return device.ops().linear(make(device, x, {7, in}, dtype_),
                                   make_int8_weight(device, w, Numbers(out, 0.01f)));
      },
      {0, 0, 0}, "sizes");
}

// A row with NaN or infinity is NaN, the others are not.
TEST_P(Int8Test, WhatIsNotFiniteStaysInItsRow) {
  const std::int64_t in = 40, out = 24;
  const std::vector<std::int8_t> w = random_int8(in * out);
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
                          -std::numeric_limits<float>::infinity()}) {
    for (const std::int64_t rows : {2, 20}) {
      const ArenaScope scope(*tested_);
      Numbers x = random(rows * in);
      x[7] = bad;
      const Tensor y = tested_->ops().linear(make(*tested_, x, {rows, in}, dtype_),
                                             make_int8_weight(*tested_, w, Numbers(out, 0.01f)));
      const Numbers values = download(*tested_, y);
      for (std::int64_t c = 0; c < out; ++c) {
        EXPECT_TRUE(std::isnan(values[c]));
        EXPECT_TRUE(std::isfinite(values[out + c]));
      }
    }
  }
}

GLMOCR_KERNEL_SUITE(Int8Test);

TEST(QuantizeRow, IsWithinHalfAStep) {
  const float row[] = {0.5f, -2.54f, 1.27f, 0, 2.53f};
  std::int8_t values[5];
  const float scale = quantize_row(row, 5, values);
  EXPECT_FLOAT_EQ(scale, 0.02f);
  EXPECT_EQ(values[1], -127);
  for (int i = 0; i < 5; ++i) EXPECT_NEAR(static_cast<float>(values[i]) * scale, row[i], 0.0101f);
}

}  // namespace
}  // namespace glmocr::test
