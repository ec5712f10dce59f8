// SPDX-License-Identifier: Apache-2.0
#include <utility>

#include "kernel_test.h"

namespace glmocr::test {
namespace {

class LinearTest : public KernelTest {
 protected:
  struct Extras {
    bool bias = false;
    Activation activation = Activation::none;
    bool residual = false;
    bool in_place = false;  // out is the residual
    std::int64_t gap = 0;
    bool as_stored = false;  // weights as a memory limit leaves them
  };

  void run(std::int64_t rows, std::int64_t in, std::int64_t out, DType weight_type, const Extras& extras) {
    const Numbers x = random(rows * in), w = random_grid(out * in), b = random(out),
                  more = random(rows * out);
    const auto op = [&](Device& device, RowClass row_class) {
      LinearOptions options;
      options.rows = row_class;
      options.activation = extras.activation;
      if (extras.residual) options.residual = make(device, more, {rows, out}, dtype_, extras.gap);
      if (extras.in_place) options.out = options.residual;
      const Tensor xs = make(device, x, {rows, in}, dtype_, extras.gap);
      Weight ws = make_weight(device, w, out, in, weight_type, use_of(device, extras.as_stored));
      if (extras.bias) ws.bias = make(device, b, {out}, DType::f32);
      poison(device);
      return device.ops().linear(xs, ws, options);
    };
    const bool act = extras.activation != Activation::none;
    const double size = 1 + std::sqrt(static_cast<double>(in));
    for (const RowClass row_class : {RowClass::few, RowClass::many}) {
      compare([&](Device& device) { return op(device, row_class); },
              reduction(dtype_, in + 2, 1, 1 + act + extras.residual, size),
              std::string(row_class == RowClass::few ? "few" : "many") + " x [" + std::to_string(rows) +
                  ", " + std::to_string(in) + "] · weight [" + std::to_string(out) + ", " +
                  std::to_string(in) + "] " + std::string(to_string(weight_type)) +
                  (extras.bias ? " bias" : "") + (act ? " activation" : "") +
                  (extras.residual ? " residual" : "") + (extras.gap ? " strided" : ""));
    }
  }
};

TEST_P(LinearTest, AllShapesAndWeightTypes) {
  struct Size {
    std::int64_t rows, in, out;
  };
  const Size sizes[] = {{3, 2100, 9},  {5, 4500, 6},   {1, 1, 1},     {1, 64, 5},    {1, 320, 67},
                        {2, 33, 17},   {3, 127, 31},   {4, 64, 130},  {5, 48, 7},    {7, 96, 19},
                        {8, 257, 40},  {9, 64, 33},    {13, 31, 129}, {16, 320, 96}, {37, 17, 3},
                        {65, 300, 71}, {97, 513, 130}, {193, 40, 66}, {200, 270, 9}};
  for (const Size& s : sizes) {
    for (const DType weight_type : {DType::f32, DType::bf16, DType::f16})
      run(s.rows, s.in, s.out, weight_type, {});
  }
}

// A small memory limit leaves weights where their file is mapped.
TEST_P(LinearTest, WeightsThatWereNotPacked) {
  struct Size {
    std::int64_t rows, in, out;
  };
  for (const Size& s : {Size{1, 320, 67}, {3, 2100, 9}, {16, 320, 96}, {65, 300, 71}, {193, 40, 66}}) {
    Extras extras;
    extras.as_stored = true;
    run(s.rows, s.in, s.out, DType::bf16, extras);
    extras.bias = extras.residual = true;
    extras.activation = Activation::gelu;
    run(s.rows, s.in, s.out, DType::bf16, extras);
  }
}

TEST_P(LinearTest, EpiloguesInEveryCombination) {
  for (const std::int64_t rows : {1, 3, 6, 30}) {
    for (const bool bias : {false, true}) {
      for (const Activation activation : {Activation::none, Activation::silu, Activation::gelu}) {
        for (const bool residual : {false, true}) {
          run(rows, 50, 43, DType::bf16, {bias, activation, residual, false, 0});
        }
      }
    }
  }
}

TEST_P(LinearTest, StridedRowsAndOutOverResidual) {
  for (const std::int64_t rows : {1, 2, 11, 40}) {
    run(rows, 70, 37, DType::bf16, {true, Activation::none, true, true, 0});
    run(rows, 70, 37, DType::bf16, {true, Activation::silu, true, true, 5});
    run(rows, 64, 48, DType::f32, {false, Activation::none, true, false, 3});
  }
}

TEST_P(LinearTest, ManyRows) {
  run(300, 128, 200, DType::bf16, {});
  run(1000, 24, 40, DType::bf16, {true, Activation::none, false, false, 0});
}

// Gates and what they let through: sums as of linear, whose product has the errors of one times the other.
TEST_P(LinearTest, Gated) {
  struct Size {
    std::int64_t rows, in, out;
  };
  for (const Size& s : {Size{1, 64, 24},
                        {1, 1536, 40},
                        {7, 320, 96},
                        {17, 64, 8},
                        {33, 2104, 16},
                        {40, 50, 13},
                        {200, 320, 264}}) {
    for (const bool bias : {false, true}) {
      const Numbers x = random(s.rows * s.in), gate = random_grid(s.out * s.in),
                    up = random_grid(s.out * s.in), gate_bias = random(s.out), up_bias = random(s.out);
      const auto op = [&](Device& device, RowClass row_class) {
        const Tensor xs = make(device, x, {s.rows, s.in}, dtype_, 8);
        Weight gates = make_weight(device, gate, s.out, s.in, DType::bf16),
               ups = make_weight(device, up, s.out, s.in, DType::bf16);
        if (bias) {
          gates.bias = make(device, gate_bias, {s.out}, DType::f32);
          ups.bias = make(device, up_bias, {s.out}, DType::f32);
        }
        poison(device);
        return device.ops().gated_linear(xs, gates, ups, row_class);
      };
      const double size = 1 + std::sqrt(static_cast<double>(s.in));
      Tolerance t = reduction(dtype_, s.in + 2, 1, 3, size);
      t.absolute *= size;
      for (const RowClass row_class : {RowClass::few, RowClass::many}) {
        compare([&](Device& device) { return op(device, row_class); }, t,
                std::string(row_class == RowClass::few ? "few" : "many") + " x [" + std::to_string(s.rows) +
                    ", " + std::to_string(s.in) + "] · two weights [" + std::to_string(s.out) + ", " +
                    std::to_string(s.in) + "]" + (bias ? " bias" : ""));
      }
    }
  }
}

// What a device may fuse is what it gives one by one, bit for bit.
TEST_P(LinearTest, ThreeAtOnceAreThoseOfThreeCalls) {
  Device& device = *tested_;
  struct Size {
    std::int64_t rows, widths[3];
  };
  std::vector<Size> sizes;
  for (const std::int64_t rows : {1, 17, 70, 300}) {
    sizes.push_back({rows, {200, 13, 64}});
    sizes.push_back({rows, {192, 32, 64}});
  }
  // More tiles than a card has multiprocessors.
  if (device.name().starts_with("cuda")) sizes.push_back({5200, {256, 128, 128}});
  for (const auto& [rows, widths] : sizes) {
    const std::int64_t in = 104;
    const ArenaScope scope(device);
    const Tensor x = make(device, random(rows * in), {rows, in}, dtype_, 8);
    Weight weights[3];
    for (int i = 0; i < 3; ++i) {
      weights[i] = make_weight(device, random_grid(widths[i] * in), widths[i], in, DType::bf16);
      if (i == 1) weights[i].bias = make(device, random(widths[i]), {widths[i]}, DType::f32);
    }
    for (const RowClass row_class : {RowClass::few, RowClass::many}) {
      const Tensor given = device.scratch({rows, widths[2]}, dtype_);
      const auto together = device.ops().linear_three(x, {&weights[0], &weights[1], &weights[2]}, row_class,
                                                      {Tensor{}, Tensor{}, given});
      EXPECT_EQ(together[2].data, given.data);
      for (int i = 0; i < 3; ++i) {
        LinearOptions options;
        options.rows = row_class;
        EXPECT_EQ(download(device, together[i]),
                  download(device, device.ops().linear(x, weights[i], options)))
            << rows << " rows, weight " << i;
      }
    }
  }
}

TEST_P(LinearTest, GatedMlpIsThatOfItsProducts) {
  struct Size {
    std::int64_t rows, in, inner, out;
  };
  for (const Size& s : {Size{1, 64, 24, 40}, {17, 50, 13, 32}, {70, 96, 72, 50}, {300, 40, 200, 13}}) {
    Device& device = *tested_;
    const ArenaScope scope(device);
    const Tensor x = make(device, random(s.rows * s.in), {s.rows, s.in}, dtype_, 8);
    const auto weight = [&](std::int64_t out, std::int64_t in) {
      Weight made = make_weight(device, random_grid(out * in), out, in, DType::bf16);
      made.bias = make(device, random(out), {out}, DType::f32);
      return made;
    };
    const Weight gate = weight(s.inner, s.in), up = weight(s.inner, s.in), down = weight(s.out, s.inner);
    for (const RowClass row_class : {RowClass::few, RowClass::many}) {
      LinearOptions options;
      options.rows = row_class;
      options.residual = make(device, random(s.rows * s.out), {s.rows, s.out}, dtype_);
      const Numbers expected = download(
          device, device.ops().linear(device.ops().gated_linear(x, gate, up, row_class), down, options));
      options.out = options.residual;
      const Tensor y = device.ops().gated_mlp(x, {gate, up, down}, options);
      EXPECT_EQ(y.data, options.out.data);
      EXPECT_EQ(download(device, y), expected) << s.rows << " rows";
    }
  }
}

// A result goes where it was asked for and touches nothing else.
TEST_P(LinearTest, WritesInsideOutOnly) {
  for (const std::int64_t rows : {2, 20}) {
    const std::int64_t in = 40, out = 21;
    Device& device = *tested_;
    const ArenaScope scope(device);
    const Tensor x = make(device, random(rows * in), {rows, in}, dtype_);
    const Weight w = make_weight(device, random_grid(out * in), out, in, DType::bf16);
    const Tensor wide =
        make(device, Numbers(static_cast<std::size_t>(rows * (out + 4)), 7), {rows, out + 4}, dtype_);
    LinearOptions options;
    options.out = wide.slice(1, 2, 2 + out);
    const Tensor y = device.ops().linear(x, w, options);
    EXPECT_EQ(y.data, options.out.data);
    const Numbers all = download(device, wide);
    for (std::int64_t r = 0; r < rows; ++r) {
      for (const std::int64_t c : {std::int64_t{0}, std::int64_t{1}, out + 2, out + 3}) {
        EXPECT_EQ(all[r * (out + 4) + c], 7) << r << ", " << c;
      }
    }
  }
}

TEST_P(LinearTest, NoRows) {
  Device& device = *tested_;
  const Tensor y = device.ops().linear(device.scratch({0, 8}, dtype_),
                                       make_weight(device, random_grid(24), 3, 8, DType::bf16));
  EXPECT_EQ(to_string(y.shape), "[0, 3]");
}

TEST_P(LinearTest, NanStaysNan) {
  for (const auto& [rows, row_class] : {std::pair<std::int64_t, RowClass>{1, RowClass::few},
                                        {20, RowClass::few},
                                        {1, RowClass::many},
                                        {20, RowClass::many}}) {
    Device& device = *tested_;
    const ArenaScope scope(device);
    Numbers x = random(rows * 40);
    x[7] = NAN;
    const Tensor y = device.ops().linear(make(device, x, {rows, 40}, dtype_),
                                         make_weight(device, random_grid(24 * 40), 24, 40, DType::bf16),
                                         {.rows = row_class});
    const Numbers values = download(device, y);
    for (std::int64_t c = 0; c < 24; ++c) EXPECT_TRUE(std::isnan(values[c]));
    if (rows > 1) {
      EXPECT_FALSE(std::isnan(values[24]));
    }
  }
}

GLMOCR_KERNEL_SUITE(LinearTest);

}  // namespace
}  // namespace glmocr::test
