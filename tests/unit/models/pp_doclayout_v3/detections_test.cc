// SPDX-License-Identifier: Apache-2.0
#include "models/pp_doclayout_v3/detections.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

namespace glmocr::doclayout {
namespace {

using testing::ElementsAre;

// A page of 160 × 96 input pixels, masks of 40 × 24 cells whose one prototype is 1 in the left half and -1 elsewhere.
class DetectionsTest : public testing::Test {
 protected:
  static constexpr int kQueries = 3, kClasses = 4, kWidth = 40, kHeight = 24;

  DetectionsTest() {
    config_.width = 160;
    config_.height = 96;
    config_.labels = {RegionLabel::text, RegionLabel::table, RegionLabel::image, RegionLabel::header};
    page_.queries = kQueries;
    page_.classes = kClasses;
    page_.order_head = 1;
    page_.prototypes = 1;
    page_.mask_width = kWidth;
    page_.mask_height = kHeight;
    for (int i = 0; i < kWidth * kHeight; ++i) masks_.push_back(i % kWidth < kWidth / 2 ? 1.0f : -1.0f);
  }

  std::vector<Region> find(float threshold, int width = 320, int height = 192) {
    page_.logits = logits_;
    page_.boxes = boxes_;
    page_.order_points = order_;
    page_.mask_queries = mask_queries_;
    page_.masks = masks_;
    return find_regions(page_, config_, width, height, threshold);
  }

  LayoutConfig config_;
  PageOutputs page_;
  std::vector<float> logits_ = std::vector<float>(kQueries * kClasses, -9.0f);
  std::vector<float> boxes_ = {0.5f, 0.5f, 0.5f, 0.5f, 0.25f, 0.5f, 0.5f, 1, 0.9f, 0.1f, 0.4f, 0.1f};
  std::vector<float> order_ = std::vector<float>(2 * kQueries, 0.0f);
  std::vector<float> mask_queries_ = std::vector<float>(kQueries, 5.0f);
  std::vector<float> masks_;
};

TEST_F(DetectionsTest, BoxesAreInPixelsOfThePageAndNotClipped) {
  logits_[0 * kClasses + 1] = 2;
  logits_[2 * kClasses + 3] = 1;
  const std::vector<Region> regions = find(0.5f);
  ASSERT_EQ(regions.size(), 2u);
  EXPECT_EQ(regions[0].label, RegionLabel::table);
  EXPECT_EQ(regions[0].task, RegionTask::table);
  EXPECT_NEAR(regions[0].score, 1 / (1 + std::exp(-2.0)), 1e-6);
  EXPECT_EQ(regions[0].box.x0, 80);
  EXPECT_EQ(regions[0].box.y1, 144);
  EXPECT_GT(regions[1].box.x1, 320) << "beyond the page";
}

TEST_F(DetectionsTest, AQueryMayHaveTwoLabelsTheBetterFirst) {
  logits_[1 * kClasses + 0] = 1;
  logits_[1 * kClasses + 2] = 3;
  const std::vector<Region> regions = find(0.5f);
  ASSERT_EQ(regions.size(), 2u);
  EXPECT_EQ(regions[0].label, RegionLabel::image);
  EXPECT_EQ(regions[1].label, RegionLabel::text);
}

TEST_F(DetectionsTest, NoMoreThanAsManyAsThereAreQueries) {
  for (float& logit : logits_) logit = 4;
  logits_[5] = 5;
  const std::vector<Region> regions = find(0.1f);
  EXPECT_EQ(regions.size(), 3u);
}

TEST_F(DetectionsTest, PolygonsFollowTheMaskUnderTheBox) {
  logits_[0] = 2;
  const std::vector<Region> regions = find(0.5f);
  ASSERT_EQ(regions.size(), 1u);
  std::vector<std::pair<double, double>> corners;
  for (const Point& p : regions[0].polygon) corners.emplace_back(p.x, p.y);
  // The left half of the box 80 … 240, 48 … 144, in whole pixels.
  EXPECT_THAT(corners, ElementsAre(std::pair(80., 48.), std::pair(80., 143.), std::pair(159., 143.),
                                   std::pair(159., 48.)));
  mask_queries_.assign(kQueries, 0.0f);
  EXPECT_EQ(find(0.5f)[0].polygon[2].x, 240) << "an empty mask gives the box";
}

TEST_F(DetectionsTest, OrderIsByVotesOfPairs) {
  for (int q = 0; q < kQueries; ++q) logits_[q * kClasses] = 1.0f + static_cast<float>(q);
  // Query i · key j, i < j: above zero says that i is before j.
  order_ = {1, 0, 1, 4, -1, -3};
  find(0.5f);
  // 0 before 1 (4), 2 before 0 (-3), 2 before 1 (-3).
  EXPECT_THAT(reading_ranks(page_), ElementsAre(1, 2, 0));
  const std::vector<Region> regions = find(0.5f);
  EXPECT_GT(regions[0].score, regions[1].score) << "query 2 has the best score and is first";
}

TEST_F(DetectionsTest, EqualVotesGoByIndex) {
  find(0.5f);
  EXPECT_THAT(reading_ranks(page_), ElementsAre(0, 1, 2));
}

}  // namespace
}  // namespace glmocr::doclayout
