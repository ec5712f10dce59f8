// SPDX-License-Identifier: Apache-2.0
#include "models/pp_doclayout_v3/polygon.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/mapped_file.h"

namespace glmocr::doclayout {
namespace {

using Json = nlohmann::json;

// One character per pixel; a space or a point is not set.
Mask mask_of(const std::vector<std::string>& rows) {
  Mask mask{static_cast<int>(rows[0].size()), static_cast<int>(rows.size()), {}};
  for (const std::string& row : rows) {
    for (const char c : row) mask.set.push_back(c == '#');
  }
  return mask;
}

Mask mask_of(const Json& hexadecimal, int width) {
  Mask mask{width, static_cast<int>(hexadecimal.size()), {}};
  for (const std::string row : hexadecimal) {
    for (int x = 0; x < width; ++x) {
      const int digit = std::stoi(row.substr(x / 4, 1), nullptr, 16);
      mask.set.push_back(digit >> (3 - x % 4) & 1);
    }
  }
  return mask;
}

TEST(Outline, RunsAnticlockwiseFromTheFirstPixelAndKeepsCornersOnly) {
  const auto found = outlines(mask_of({".....", ".###.", ".###.", "....."}));
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0], (std::vector<GridPoint>{{1, 1}, {1, 2}, {3, 2}, {3, 1}}));
  EXPECT_EQ(outline_area(found[0]), 2);
}

TEST(Outline, OfSinglePixelsAndLinesThatTouchTheEdge) {
  const auto found = outlines(mask_of({"#..", "..#", "..#"}));
  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(found[0], (std::vector<GridPoint>{{0, 0}}));
  EXPECT_EQ(found[1], (std::vector<GridPoint>{{2, 1}, {2, 2}}));
  EXPECT_EQ(outline_area(found[1]), 0);
  EXPECT_TRUE(mask_polygon(mask_of({"#..", "..#", "..#"})).empty());
}

TEST(Outline, PartsThatTouchAtACornerAreOne) {
  EXPECT_EQ(outlines(mask_of({"##..", "##..", "..##", "..##"})).size(), 1u);
  EXPECT_TRUE(outlines(mask_of({"...", "..."})).empty());
}

TEST(Polygon, AsOpenCvAndTransformersMakeIt) {
  const Json golden =
      Json::parse(read_file(std::filesystem::path(GLMOCR_TEST_DATA) / "golden/layout/polygons.json"));
  int with_corners = 0;
  for (const Json& test : golden.at("cases")) {
    const std::vector<Point> polygon = mask_polygon(mask_of(test.at("rows"), test.at("width")));
    ASSERT_EQ(polygon.size(), test.at("polygon").size()) << test.dump();
    for (std::size_t i = 0; i < polygon.size(); ++i) {
      EXPECT_NEAR(polygon[i].x, test["polygon"][i][0].get<double>(), 1e-5) << test.dump();
      EXPECT_NEAR(polygon[i].y, test["polygon"][i][1].get<double>(), 1e-5) << test.dump();
    }
    with_corners += polygon.empty() ? 0 : 1;
  }
  EXPECT_GT(with_corners, 40);
}

}  // namespace
}  // namespace glmocr::doclayout
