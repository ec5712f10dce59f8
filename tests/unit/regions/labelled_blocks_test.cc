// SPDX-License-Identifier: Apache-2.0
#include "regions/labelled_blocks.h"

#include <gmock/gmock.h>

namespace glmocr {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

Region region(RegionLabel label, const Box& box, float score = 0.9f) {
  Region region;
  region.label = label;
  region.task = region_task(label);
  region.score = score;
  region.box = box;
  return region;
}

Region text_region(const Box& box) { return region(RegionLabel::text, box, 1); }

std::vector<RegionLabel> labels(const std::vector<Region>& regions) {
  std::vector<RegionLabel> labels;
  for (const Region& region : regions) labels.push_back(region.label);
  return labels;
}

TEST(LabelledBlocks, GetTheLabelOfTheRegionInTheirPlace) {
  const std::vector<Region> regions =
      labelled_blocks({text_region({0, 0, 100, 20}), text_region({0, 40, 100, 100})},
                      std::vector{region(RegionLabel::header, {2, 2, 98, 19}),
                                  region(RegionLabel::abstract, {0, 42, 100, 98})});
  EXPECT_THAT(labels(regions), ElementsAre(RegionLabel::header, RegionLabel::abstract));
  EXPECT_EQ(regions[0].task, RegionTask::none);
  EXPECT_EQ(regions[0].box.y0, 0);  // boxes stay
}

TEST(LabelledBlocks, KeepTheirsWhereTheDetectorIsUnsureOrSeesAnother) {
  const std::vector<Region> blocks{text_region({0, 0, 100, 20})};
  EXPECT_THAT(
      labels(labelled_blocks(blocks, std::vector{region(RegionLabel::header, {0, 0, 100, 20}, 0.4f)})),
      ElementsAre(RegionLabel::text));
  EXPECT_THAT(labels(labelled_blocks(blocks, std::vector{region(RegionLabel::abstract, {0, 0, 100, 200})})),
              ElementsAre(RegionLabel::text));
  EXPECT_THAT(labels(labelled_blocks(blocks, std::vector{region(RegionLabel::number, {0, 0, 20, 20})})),
              ElementsAre(RegionLabel::text));
  EXPECT_THAT(labelled_blocks({}, std::vector{region(RegionLabel::header, {0, 0, 100, 20})}), IsEmpty());
}

TEST(LabelledBlocks, PiecesOfAFormulaAreOne) {
  const std::vector<Region> regions =
      labelled_blocks({text_region({0, 0, 100, 20}), text_region({80, 28, 95, 36}),
                       text_region({10, 30, 90, 50}), text_region({0, 60, 100, 80})},
                      std::vector{region(RegionLabel::display_formula, {8, 26, 96, 52})});
  ASSERT_THAT(labels(regions),
              ElementsAre(RegionLabel::text, RegionLabel::display_formula, RegionLabel::text));
  EXPECT_EQ(regions[1].task, RegionTask::formula);
  EXPECT_EQ(regions[1].box.y0, 26);  // the detector's
  EXPECT_EQ(regions[1].box.x1, 96);
}

TEST(LabelledBlocks, RowsOfATableAreOne) {
  const std::vector<Region> regions = labelled_blocks(
      {text_region({0, 0, 100, 20}), text_region({0, 30, 100, 50}), text_region({0, 70, 100, 90})},
      std::vector{region(RegionLabel::table, {1, 2, 99, 49})});
  ASSERT_THAT(labels(regions), ElementsAre(RegionLabel::table, RegionLabel::text));
  EXPECT_EQ(regions[0].box.y0, 0);  // nothing of the blocks is lost
  EXPECT_EQ(regions[0].box.y1, 50);
}

// No text disappears in a picture that only the detector sees.
TEST(LabelledBlocks, APictureNeedsADrawing) {
  const std::vector<Region> detected{region(RegionLabel::chart, {0, 0, 100, 100})};
  EXPECT_THAT(
      labels(labelled_blocks({text_region({0, 0, 100, 50}), text_region({0, 60, 100, 100})}, detected)),
      ElementsAre(RegionLabel::text, RegionLabel::text));
  EXPECT_THAT(labelled_blocks({region(RegionLabel::image, {5, 5, 95, 80}, 1), text_region({40, 85, 60, 98})},
                              detected),
              SizeIs(1));
}

}  // namespace
}  // namespace glmocr
