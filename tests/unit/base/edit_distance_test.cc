// SPDX-License-Identifier: Apache-2.0
#include "base/edit_distance.h"

#include <gtest/gtest.h>

#include <string_view>

namespace glmocr {
namespace {

TEST(EditDistance, CountsInsertionsDeletionsAndReplacements) {
  const auto distance = [](std::string_view a, std::string_view b) { return edit_distance(a, b); };
  EXPECT_EQ(distance("", ""), 0u);
  EXPECT_EQ(distance("page", "page"), 0u);
  EXPECT_EQ(distance("", "page"), 4u);
  EXPECT_EQ(distance("page", ""), 4u);
  EXPECT_EQ(distance("kitten", "sitting"), 3u);
  EXPECT_EQ(distance("sitting", "kitten"), 3u);
  EXPECT_EQ(distance("ab", "ba"), 2u);  // a swap is no step of its own
}

TEST(EditDistance, CountsCodePointsWhereTheTypeHoldsThem) {
  EXPECT_EQ(edit_distance<std::u32string_view>(U"größe", U"grosse"), 3u);
  EXPECT_EQ(edit_distance<std::string_view>("ö", "o"), 2u);  // two bytes for one
}

}  // namespace
}  // namespace glmocr
