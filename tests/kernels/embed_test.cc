// SPDX-License-Identifier: Apache-2.0
#include "kernel_test.h"

namespace glmocr::test {
namespace {

class EmbedTest : public KernelTest {};

TEST_P(EmbedTest, EveryTableType) {
  for (const DType stored : {DType::f32, DType::bf16, DType::f16}) {
    for (const std::int64_t width : {1, 15, 64, 321}) {
      const Numbers table = random_grid(11 * width);
      const auto op = [&](Device& device) {
        return device.ops().embed(make_weight(device, table, 11, width, stored, WeightUse::embedding),
                                  make_ints(device, {10, 0, 3, 3}, {4}), dtype_);
      };
      compare(op, {0, 0}, "width " + std::to_string(width));
    }
  }
}

TEST_P(EmbedTest, RoundsLikeTheDefinition) {
  const Numbers table = random(4 * 100);
  const auto op = [&](Device& device) {
    return device.ops().embed(make_weight(device, table, 4, 100, DType::f32, WeightUse::embedding),
                              make_ints(device, {2, 1}, {2}), dtype_);
  };
  compare(op, {0, 0}, "fp32 table");
}

TEST_P(EmbedTest, GatherAndScatterRows) {
  const std::int64_t width = 37;
  const Numbers x = random(9 * width), target = random(12 * width);
  const auto op = [&](Device& device) {
    const Tensor picked = device.ops().gather_rows(make(device, x, {9, width}, dtype_, 2),
                                                   make_ints(device, {8, 0, 0, 5, 7}, {5}));
    const Tensor out = make(device, target, {12, width}, dtype_, 1);
    device.ops().scatter_rows(picked, make_ints(device, {3, 11, 0, 3, -1}, {5}), out);
    return out;
  };
  compare(op, {0, 0}, "gather, scatter");
}

TEST_P(EmbedTest, IdsOutsideTheTableAreCaught) {
  Device& device = *tested_;
  const Weight table = make_weight(device, random(6), 3, 2, DType::f32, WeightUse::embedding);
  EXPECT_THROW(device.ops().embed(table, make_ints(device, {3}, {1}), dtype_), Error);
  const Tensor x = make(device, random(6), {3, 2}, dtype_);
  EXPECT_THROW(device.ops().gather_rows(x, make_ints(device, {-1}, {1})), Error);
  EXPECT_THROW(device.ops().scatter_rows(x, make_ints(device, {0, -2, 1}, {3}), x), Error);
}

GLMOCR_KERNEL_SUITE(EmbedTest);

}  // namespace
}  // namespace glmocr::test
