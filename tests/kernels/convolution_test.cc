// SPDX-License-Identifier: Apache-2.0
#include "kernel_test.h"

namespace glmocr::test {
namespace {

class ConvolutionTest : public KernelTest {
 protected:
  struct Case {
    std::int64_t pages, height, width, in, out;
    Window window;
  };

  // A map of a part of the channels of a wider one.
  static Tensor map(Device& device, const Numbers& values, const Shape& shape, DType dtype,
                    std::int64_t gap) {
    return make(device, values, shape, dtype, gap);
  }

  static std::string name(const Case& c) {
    return std::to_string(c.pages) + " pages of " + std::to_string(c.height) + "x" + std::to_string(c.width) +
           ", " + std::to_string(c.in) + " to " + std::to_string(c.out) + " channels, window " +
           std::to_string(c.window.height) + "x" + std::to_string(c.window.width) + ", stride " +
           std::to_string(c.window.stride);
  }

  void check(const Case& c, Activation activation, bool with_residual, DType stored = DType::f32) {
    const std::int64_t terms = c.window.height * c.window.width * c.in;
    const std::int64_t height = c.window.out_height(c.height), width = c.window.out_width(c.width);
    const Numbers x = random(c.pages * c.height * c.width * c.in), w = random_grid(c.out * terms),
                  b = random(c.out);
    const Numbers more = random(c.pages * height * width * c.out);
    const auto op = [&](Device& device) {
      Weight weight = make_weight(device, w, c.out, terms, stored, WeightUse::convolution);
      weight.bias = make(device, b, {c.out}, DType::f32);
      const Shape shape{c.pages, height, width, c.out};
      ConvolutionOptions options{.activation = activation};
      if (with_residual) {
        options.residual = map(device, more, shape, dtype_, 3);
        options.out = map(device, Numbers(more.size()), shape, dtype_, 5);
      }
      const Tensor y = device.ops().convolve(map(device, x, {c.pages, c.height, c.width, c.in}, dtype_, 3),
                                             weight, c.window, options);
      return with_residual ? device.ops().add(y, make(device, Numbers(c.out), {1, c.out}, dtype_)) : y;
    };
    compare(op, reduction(dtype_, terms, 1, with_residual ? 3 : 2, 4 * std::sqrt(1.0 * terms)), name(c));
  }
};

TEST_P(ConvolutionTest, WindowsStridesAndPadding) {
  const Window one, three{3, 3, 1, 1, 1, 1, 1}, half{3, 3, 2, 1, 1, 1, 1}, even{2, 2, 1, 0, 0, 1, 1};
  for (const Case& c : {Case{1, 5, 7, 3, 12, half},
                        {2, 6, 6, 12, 24, even},
                        {1, 9, 25, 16, 33, three},
                        {2, 4, 4, 64, 32, one},
                        {1, 1, 1, 5, 1, three},
                        {1, 8, 40, 24, 70, half},
                        {1, 30, 31, 7, 20, one},
                        {3, 3, 2, 40, 48, three}}) {
    check(c, Activation::none, false);
  }
}

TEST_P(ConvolutionTest, WhatFollowsTheSums) {
  const Window three{3, 3, 1, 1, 1, 1, 1};
  for (const Activation activation : {Activation::relu, Activation::silu, Activation::gelu}) {
    check({1, 4, 5, 8, 24, three}, activation, true);
    check({2, 4, 5, 8, 24, {}}, activation, false);
  }
}

// The CPU may take other products for bf16 weights.
TEST_P(ConvolutionTest, WeightsOfTheTypeOfTheMap) {
  const Window one, three{3, 3, 1, 1, 1, 1, 1}, half{3, 3, 2, 1, 1, 1, 1}, even{2, 2, 1, 0, 0, 1, 1};
  for (const Case& c : {Case{1, 5, 7, 3, 12, half},
                        {2, 6, 6, 12, 24, even},
                        {1, 9, 25, 16, 33, three},
                        {1, 9, 25, 64, 33, three},
                        {2, 7, 11, 32, 20, half},
                        {1, 40, 23, 32, 40, three},
                        {2, 5, 6, 32, 270, even},
                        {2, 13, 14, 64, 32, one}}) {
    check(c, Activation::relu, true, dtype_);
  }
}

// Large enough that a page is cut into tiles and columns into parts.
TEST_P(ConvolutionTest, TilesFitTogether) {
  check({1, 70, 60, 12, 20, {3, 3, 1, 1, 1, 1, 1}}, Activation::none, false);
  check({1, 3, 3, 96, 200, {3, 3, 1, 1, 1, 1, 1}}, Activation::none, true);
}

TEST_P(ConvolutionTest, SingleChannels) {
  for (const Window& window : {Window{3, 3, 2, 1, 1, 1, 1}, Window{5, 5, 1, 2, 2, 2, 2}}) {
    for (const std::int64_t channels : {1, 9, 64}) {
      const std::int64_t taps = window.height * window.width;
      const Numbers x = random(2 * 6 * 9 * channels), w = random(taps * channels), b = random(channels);
      const auto op = [&](Device& device) {
        return device.ops().convolve_depthwise(
            make(device, x, {2, 6, 9, channels}, dtype_, 2), make(device, w, {taps, channels}, DType::f32),
            make(device, b, {channels}, DType::f32), window, {.activation = Activation::relu});
      };
      compare(op, reduction(dtype_, taps, 1, 1), std::to_string(channels) + " channels");
    }
  }
}

TEST_P(ConvolutionTest, PoolingIgnoresWhatIsOutside) {
  const Numbers x = random(2 * 5 * 6 * 10, -3, -1);
  const auto op = [&](Device& device) {
    return device.ops().max_pool(make(device, x, {2, 5, 6, 10}, dtype_, 4), {2, 2, 1, 0, 0, 1, 1});
  };
  compare(op, {}, "2x2");
}

TEST_P(ConvolutionTest, EnlargementDoublesBothSides) {
  for (const Enlargement kind : {Enlargement::nearest, Enlargement::bilinear}) {
    for (const Shape& shape : {Shape{2, 3, 5, 7}, Shape{1, 1, 1, 4}}) {
      const Numbers x = random(shape.numel()), more = random(4 * shape.numel());
      const auto op = [&](Device& device) {
        const Shape larger{shape[0], 2 * shape[1], 2 * shape[2], shape[3]};
        return device.ops().enlarge(make(device, x, shape, dtype_, 3),
                                    {.kind = kind, .residual = make(device, more, larger, dtype_, 1)});
      };
      compare(op, reduction(dtype_, 4, 1, 2, 1), kind == Enlargement::nearest ? "nearest" : "bilinear");
    }
  }
}

TEST_P(ConvolutionTest, RowsOfASumRepeat) {
  const Numbers x = random(6 * 11), y = random(3 * 11);
  const auto op = [&](Device& device) {
    return device.ops().add(make(device, x, {6, 11}, dtype_, 2), make(device, y, {3, 11}, dtype_, 1));
  };
  compare(op, reduction(dtype_, 2, 1, 1), "6 + 3 rows");
}

GLMOCR_LAYOUT_SUITE(ConvolutionTest);

}  // namespace
}  // namespace glmocr::test
