// SPDX-License-Identifier: Apache-2.0
#include "glmocr/region.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

namespace glmocr {
namespace {

TEST(RegionLabel, EveryNameLeadsBackToItsLabel) {
  std::set<std::string> names;
  for (int id = 0; id < kRegionLabels; ++id) {
    const auto label = static_cast<RegionLabel>(id);
    names.insert(std::string(to_string(label)));
    EXPECT_EQ(region_label(to_string(label)), label) << id;
  }
  EXPECT_EQ(names.size(), std::size_t{kRegionLabels});
  EXPECT_EQ(region_label("formula"), std::nullopt);
  EXPECT_EQ(region_label(""), std::nullopt);
}

// The ids of the published checkpoint, whose order is not quite alphabetic.
TEST(RegionLabel, IdsAreThoseOfTheDetector) {
  EXPECT_EQ(to_string(static_cast<RegionLabel>(0)), "abstract");
  EXPECT_EQ(to_string(static_cast<RegionLabel>(5)), "display_formula");
  EXPECT_EQ(to_string(static_cast<RegionLabel>(17)), "paragraph_title");
  EXPECT_EQ(to_string(static_cast<RegionLabel>(22)), "text");
  EXPECT_EQ(to_string(static_cast<RegionLabel>(24)), "vision_footnote");
}

TEST(RegionTask, FollowsTheOfficialTable) {
  int by_task[5] = {};
  for (int id = 0; id < kRegionLabels; ++id)
    ++by_task[static_cast<int>(region_task(static_cast<RegionLabel>(id)))];
  EXPECT_EQ(by_task[static_cast<int>(RegionTask::text)], 12);
  EXPECT_EQ(by_task[static_cast<int>(RegionTask::table)], 1);
  EXPECT_EQ(by_task[static_cast<int>(RegionTask::formula)], 2);
  EXPECT_EQ(by_task[static_cast<int>(RegionTask::picture)], 2);
  EXPECT_EQ(by_task[static_cast<int>(RegionTask::none)], 8);
}

}  // namespace
}  // namespace glmocr
