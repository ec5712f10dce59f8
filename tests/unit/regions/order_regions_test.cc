// SPDX-License-Identifier: Apache-2.0
#include "regions/order_regions.h"

#include <gmock/gmock.h>

namespace glmocr {
namespace {

using ::testing::ElementsAre;

Region at(float id, const Box& box) {
  Region region;
  region.score = id;  // tells them apart
  region.box = box;
  return region;
}

std::vector<float> order(std::vector<Region> regions) {
  std::vector<float> ids;
  for (const Region& region : columns_from_above(std::move(regions), 1000)) ids.push_back(region.score);
  return ids;
}

TEST(ColumnsFromAbove, ParagraphsOfOneColumn) {
  EXPECT_THAT(order({at(3, {0, 300, 400, 390}), at(1, {0, 100, 400, 190}), at(2, {0, 200, 400, 290})}),
              ElementsAre(1, 2, 3));
}

TEST(ColumnsFromAbove, AHeadingBesideItsColumnsLeftSideOrMiddle) {
  EXPECT_THAT(order({at(2, {500, 200, 900, 290}), at(1, {502, 100, 640, 130})}), ElementsAre(1, 2));
  EXPECT_THAT(order({at(2, {500, 200, 900, 290}), at(1, {650, 100, 750, 130})}), ElementsAre(1, 2));
}

TEST(ColumnsFromAbove, OtherColumnsKeepTheDetectorsOrder) {
  EXPECT_THAT(order({at(1, {0, 300, 400, 390}), at(2, {500, 100, 900, 190})}), ElementsAre(1, 2));
  EXPECT_THAT(order({at(2, {500, 100, 900, 190}), at(1, {0, 300, 400, 390})}), ElementsAre(2, 1));
}

TEST(ColumnsFromAbove, RegionsThatOverlapKeepTheirs) {
  EXPECT_THAT(order({at(2, {0, 105, 400, 200}), at(1, {0, 100, 400, 195})}), ElementsAre(2, 1));
  EXPECT_THAT(order({}), ElementsAre());
}

}  // namespace
}  // namespace glmocr
