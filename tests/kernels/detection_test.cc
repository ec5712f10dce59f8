// SPDX-License-Identifier: Apache-2.0
#include "kernel_test.h"

namespace glmocr::test {
namespace {

class DetectionTest : public KernelTest {};

TEST_P(DetectionTest, DeformableAttentionAlsoBeyondTheEdges) {
  constexpr std::int64_t kHeads = 3, kPoints = 4, kDim = 20, kQueries = 10, kPages = 2;
  const std::vector<MapLevel> levels{{0, 6, 5}, {30, 3, 2}};
  const std::int64_t rows = 36, samples = std::ssize(levels) * kPoints;
  const Numbers values = random(kPages * rows * kHeads * kDim);
  const Numbers offsets = random(kQueries * kHeads * samples * 2, -12, 12);
  const Numbers weights = random(kQueries * kHeads * samples, -3, 3), boxes = random(kQueries * 4, 0, 1);
  const auto op = [&](Device& device) {
    return device.ops().deformable_attention(
        make(device, values, {kPages * rows, kHeads * kDim}, dtype_, 5), kPages,
        {.offsets = make(device, offsets, {kQueries, kHeads * samples * 2}, dtype_, 1),
         .weights = make(device, weights, {kQueries, kHeads * samples}, dtype_, 2),
         .boxes = make(device, boxes, {kQueries, 4}, DType::f32),
         .levels = levels,
         .heads = kHeads,
         .points = kPoints});
  };
  // A place in a map is off by some units of the map's size, and the value between two pixels with it.
  compare(op, reduction(dtype_, 60, 6, 1), "3 heads, 2 levels, 4 points");
}

// No place is inside of the map: the result is zero, and nothing else is read.
TEST_P(DetectionTest, PointsThatAreNoNumbersCountNothing) {
  const std::vector<MapLevel> levels{{0, 2, 2}};
  const Tensor y =
      tested_->ops().deformable_attention(make(*tested_, random(4 * 8), {4, 8}, dtype_), 1,
                                          {.offsets = make(*tested_, {NAN, 0, 1e30f, 0}, {2, 2}, dtype_),
                                           .weights = make(*tested_, {0, 0}, {2, 1}, dtype_),
                                           .boxes = make(*tested_, Numbers(8, 0.5f), {2, 4}, DType::f32),
                                           .levels = levels});
  for (const float value : download(*tested_, y)) EXPECT_EQ(value, 0);
}

TEST_P(DetectionTest, TopRowsOfEachPageTheLowestIndexFirst) {
  Numbers scores = random_grid(2 * 50 * 3);
  for (int i = 0; i < 30; ++i) scores[3 * i + i % 3] = 2;  // equals
  scores[40 * 3] = NAN;
  const auto op = [&](Device& device) {
    return device.ops().top_rows(make(device, scores, {100, 3}, dtype_, 1), 2, 49);
  };
  const std::vector<std::int32_t> actual = download_ints(*tested_, op(*tested_));
  EXPECT_EQ(actual, download_ints(*ref_, op(*ref_)));
  EXPECT_EQ(actual[0], 0);
  EXPECT_EQ(actual[29], 29);
  for (int i = 49; i < 98; ++i) EXPECT_GE(actual[i], 50) << "rows of the other page";
}

TEST_P(DetectionTest, BoxesOfMasks) {
  constexpr std::int64_t kPages = 2, kHeight = 9, kWidth = 13, kChannels = 6, kQueries = 35;
  const Numbers map = random_grid(kPages * kHeight * kWidth * kChannels);
  Numbers queries = random_grid(kPages * kQueries * kChannels);
  for (int c = 0; c < kChannels; ++c) queries[c] = 0;  // the first mask is empty
  const auto op = [&](Device& device) {
    return device.ops().mask_boxes(make(device, queries, {kPages * kQueries, kChannels}, dtype_, 2),
                                   make(device, map, {kPages, kHeight, kWidth, kChannels}, dtype_));
  };
  compare(op, {}, "70 masks");
  const Numbers boxes = download(*tested_, op(*tested_));
  for (int i = 0; i < 4; ++i) EXPECT_EQ(boxes[i], 0) << "of an empty mask";
}

TEST_P(DetectionTest, RefinedBoxes) {
  Numbers boxes = random(12, 0, 1);
  boxes[0] = 0;
  boxes[1] = 1;
  const Numbers deltas = random(12, -4, 4);
  for (const bool moved : {false, true}) {
    const auto op = [&](Device& device) {
      return device.ops().refine_boxes(make(device, boxes, {3, 4}, DType::f32),
                                       moved ? make(device, deltas, {3, 4}, dtype_, 2) : Tensor());
    };
    compare(op, {8 * kUnit32, 16 * kUnit32}, moved ? "moved" : "as they are");
  }
}

GLMOCR_LAYOUT_SUITE(DetectionTest);

}  // namespace
}  // namespace glmocr::test
