// SPDX-License-Identifier: Apache-2.0
#include "models/glm_ocr/positions.h"

#include <gtest/gtest.h>

#include "support/expect_error.h"

namespace glmocr {
namespace {

constexpr TokenId kImage = 99;

std::vector<TokenId> ids_of(int before, int image, int after) {
  std::vector<TokenId> ids(static_cast<std::size_t>(before), 1);
  ids.insert(ids.end(), static_cast<std::size_t>(image), kImage);
  ids.insert(ids.end(), static_cast<std::size_t>(after), 2);
  return ids;
}

// An example worked out by hand.
TEST(MropePositions, WorkedExample) {
  const std::vector<TokenId> ids = ids_of(5, 900, 7);
  const GridTHW grids[] = {{1, 60, 60}};
  const MropePositions p = mrope_positions(ids, kImage, grids, 2);
  ASSERT_EQ(p.size(), 912);
  EXPECT_EQ(p.temporal[4], 4);
  EXPECT_EQ(p.temporal[5 + 31], 5);
  EXPECT_EQ(p.height[5 + 31], 6);
  EXPECT_EQ(p.width[5 + 31], 6);
  EXPECT_EQ(p.height[904], 34);
  EXPECT_EQ(p.temporal[905], 35);
  EXPECT_EQ(p.width[911], 41);
  EXPECT_EQ(p.delta, -870);
}

TEST(MropePositions, TextAloneCountsUp) {
  const MropePositions p = mrope_positions(ids_of(3, 0, 1), kImage, {}, 2);
  EXPECT_EQ(p.temporal, (std::vector<std::int32_t>{0, 1, 2, 3}));
  EXPECT_EQ(p.height, p.temporal);
  EXPECT_EQ(p.width, p.temporal);
  EXPECT_EQ(p.delta, 0);
}

TEST(MropePositions, SeveralPicturesOfOtherShapes) {
  std::vector<TokenId> ids = ids_of(1, 2, 1);         // 1×2 tokens
  const std::vector<TokenId> more = ids_of(0, 3, 1);  // 3×1 tokens
  ids.insert(ids.end(), more.begin(), more.end());
  const GridTHW grids[] = {{1, 2, 4}, {1, 6, 2}};
  const MropePositions p = mrope_positions(ids, kImage, grids, 2);
  EXPECT_EQ(p.temporal, (std::vector<std::int32_t>{0, 1, 1, 3, 4, 4, 4, 7}));
  EXPECT_EQ(p.height, (std::vector<std::int32_t>{0, 1, 1, 3, 4, 5, 6, 7}));
  EXPECT_EQ(p.width, (std::vector<std::int32_t>{0, 1, 2, 3, 4, 4, 4, 7}));
  EXPECT_EQ(p.delta, 0);
}

TEST(MropePositions, CountsMustAgree) {
  const GridTHW grids[] = {{1, 4, 4}};
  expect_error(ErrorCode::input, {"picture 1 needs 4 image tokens", "has 3"},
               [&] { mrope_positions(ids_of(1, 3, 1), kImage, grids, 2); });
  expect_error(ErrorCode::input, {"more than 1 picture"},
               [&] { mrope_positions(ids_of(1, 5, 1), kImage, grids, 2); });
  expect_error(ErrorCode::input, {"image tokens for 0 pictures, expected 1"},
               [&] { mrope_positions(ids_of(1, 0, 1), kImage, grids, 2); });
}

}  // namespace
}  // namespace glmocr
