// SPDX-License-Identifier: Apache-2.0
#include "regions/crop.h"

#include <gtest/gtest.h>

#include <limits>

#include "unit/regions/drawn_page.h"

namespace glmocr {
namespace {

// Every pixel tells where it comes from.
Image numbered(int width, int height) {
  DrawnPage page(width, height);
  for (int y = 0; y < height; ++y)
    for (int x = 0; x < width; ++x) {
      page.image.rgb[3 * (y * width + x)] = static_cast<std::uint8_t>(x % 251);
      page.image.rgb[3 * (y * width + x) + 1] = static_cast<std::uint8_t>(y % 241);
      page.image.rgb[3 * (y * width + x) + 2] = 9;
    }
  return page.image;
}

Region region(Box box) {
  Region found;
  found.box = box;
  return found;
}

struct Corner {
  int x, y, width, height;
  bool operator==(const Corner&) const = default;
};
Corner corner_of(const Image& crop) {
  if (crop.rgb.empty()) return {-1, -1, crop.width, crop.height};
  return {crop.rgb[0], crop.rgb[1], crop.width, crop.height};
}
void PrintTo(const Corner& corner, std::ostream* out) {
  *out << corner.x << ", " << corner.y << ": " << corner.width << "×" << corner.height;
}

TEST(Crop, HasAMarginAsFarAsThePageGoes) {
  const Image page = numbered(200, 100);
  EXPECT_EQ(corner_of(crop_region(page, region({10, 20, 30, 50}))), (Corner{8, 18, 24, 34}));
  EXPECT_EQ(corner_of(crop_region(page, region({10.5, 20.5, 29.5, 49.5}), {.margin = 0})),
            (Corner{10, 20, 20, 30}));
  EXPECT_EQ(corner_of(crop_region(page, region({1, 0, 200, 99}), {.margin = 5})), (Corner{0, 0, 200, 100}));
  EXPECT_EQ(corner_of(crop_region(page, region({-1e9, -5, 1e18, 300}))), (Corner{0, 0, 200, 100}));
}

TEST(Crop, IsEmptyWhereTheBoxIs) {
  const Image page = numbered(200, 100);
  const double none = std::numeric_limits<double>::quiet_NaN();
  for (const bool compat : {false, true}) {
    for (const Box& box :
         {Box{10, 10, 10, 20}, Box{30, 10, 20, 20}, Box{none, 0, none, 10}, Box{250, 0, 300, 10}}) {
      const Image crop = crop_region(page, region(box), {.compat = compat});
      EXPECT_EQ(crop.width * crop.height, std::ssize(crop.rgb) / 3);
      EXPECT_TRUE(crop.width == 0 || !compat);
    }
  }
}

TEST(Crop, EdgesAreTruncatedTwiceAsInTheSdk) {
  const Image page = numbered(1654, 239);
  // 17 px are 10 thousandths, which are 16 px; 100 px are 60, which are 99.
  const Image crop = crop_region(page, region({17, 0, 100, 239}), {.compat = true});
  EXPECT_EQ(corner_of(crop), (Corner{16, 0, 83, 239}));
}

TEST(Crop, IsWhiteOutsideThePolygon) {
  const Image page = numbered(200, 100);
  Region triangle = region({20, 20, 80, 80});
  triangle.polygon = {{20, 20}, {80, 20}, {20, 80}};
  for (const bool compat : {false, true}) {
    const Image crop = crop_region(page, triangle, {.compat = compat, .use_polygon = true, .margin = 0});
    ASSERT_EQ(crop.width, 60);
    const auto blue = [&](int x, int y) { return int{crop.rgb[3 * (y * crop.width + x) + 2]}; };
    EXPECT_EQ(blue(0, 0), 9);
    EXPECT_EQ(blue(58, 0), 9);
    EXPECT_EQ(blue(0, 58), 9);
    EXPECT_EQ(blue(29, 29), 9);
    EXPECT_EQ(blue(33, 33), 255);
    EXPECT_EQ(blue(59, 59), 255);
  }
  triangle.polygon.resize(2);
  EXPECT_EQ(crop_region(page, triangle, {.use_polygon = true, .margin = 0}).rgb[3 * (59 * 60 + 59) + 2], 9);
}

TEST(Framed, HasTheColourOfItsEdge) {
  Image picture;
  picture.width = 5;
  picture.height = 4;
  for (int i = 0; i < 20; ++i)
    picture.rgb.insert(picture.rgb.end(), {200, 100, static_cast<std::uint8_t>(i)});
  picture.rgb[0] = 0;  // ink at the edge
  const Image larger = framed(picture, 3, 2);
  EXPECT_EQ(larger.width, 11);
  EXPECT_EQ(larger.height, 8);
  ASSERT_EQ(larger.rgb.size(), 3u * 11 * 8);
  const auto pixel = [&](int x, int y) { return &larger.rgb[3 * (y * 11 + x)]; };
  EXPECT_EQ(pixel(0, 0)[0], 200);
  EXPECT_EQ(pixel(10, 7)[1], 100);
  EXPECT_EQ(pixel(3, 2)[0], 0);
  for (int y = 0; y < 4; ++y)
    for (int x = 0; x < 5; ++x) EXPECT_EQ(pixel(x + 3, y + 2)[2], y * 5 + x);
  EXPECT_TRUE(framed(Image(), 3, 2).rgb.empty());
}

}  // namespace
}  // namespace glmocr
