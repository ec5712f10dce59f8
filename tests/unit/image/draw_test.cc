// SPDX-License-Identifier: Apache-2.0
#include "image/draw.h"

#include <gtest/gtest.h>

#include <limits>

#include "image/decode.h"
#include "image/encode.h"
#include "support/expect_error.h"

namespace glmocr {
namespace {

constexpr Colour kRed{200, 10, 20};

Image white(int width, int height) {
  return {width, height, std::vector<std::uint8_t>(std::size_t(width) * height * 3, 255)};
}

bool is_red(const Image& image, int x, int y) {
  const std::uint8_t* p = &image.rgb[(std::size_t(y) * image.width + x) * 3];
  return p[0] == 200 && p[1] == 10 && p[2] == 20;
}

int reds(const Image& image) {
  int count = 0;
  for (int y = 0; y < image.height; ++y) {
    for (int x = 0; x < image.width; ++x) count += is_red(image, x, y) ? 1 : 0;
  }
  return count;
}

TEST(Draw, BoxesHaveEdgesInside) {
  Image image = white(20, 12);
  draw_box(image, {2, 3, 10, 9}, kRed, 2);
  EXPECT_TRUE(is_red(image, 2, 3) && is_red(image, 3, 4) && is_red(image, 9, 8));
  EXPECT_FALSE(is_red(image, 4, 5) || is_red(image, 1, 3) || is_red(image, 10, 8));
  EXPECT_EQ(reds(image), 8 * 6 - 4 * 2);
}

TEST(Draw, RegionsWithoutAPlaceAreLeftOut) {
  constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  Image image = white(40, 40);
  Region region;
  for (const Box& box : {Box{kNan, 5, 30, 30}, Box{5, kNan, 30, 30}, Box{5, 5, kInfinity, 30}}) {
    region.box = box;
    draw_regions(image, std::vector{region});
    EXPECT_EQ(image.rgb, white(40, 40).rgb);
  }
  fill_box(image, {5, 5, kNan, kNan}, kRed);
  draw_polygon(image, std::vector<Point>{{kNan, 1}, {kNan, 9}}, kRed, 1);
  EXPECT_EQ(reds(image), 0);
}

TEST(Draw, WhatIsOutsideIsLeftOut) {
  Image image = white(5, 4);
  fill_box(image, {-3, -3, 2, 1e9}, kRed);
  EXPECT_EQ(reds(image), 2 * 4);
  draw_text(image, -40, -40, "table", kRed, 3);
  const std::vector<Point> far{{-1e9, 2}, {1e9, 2}};
  draw_polygon(image, far, kRed, 1);
  EXPECT_GE(reds(image), 8);
}

TEST(Draw, OpacityMixesColours) {
  Image image = white(2, 1);
  fill_box(image, {0, 0, 1, 1}, {0, 0, 0}, 0.5);
  EXPECT_NEAR(image.rgb[0], 128, 1);
  EXPECT_EQ(image.rgb[3], 255);
}

TEST(Draw, LettersHaveTheirShape) {
  Image image = white(text_width("l", 2), text_height(2));
  draw_text(image, 0, 0, "l", kRed, 2);
  EXPECT_EQ(image.width, 10);
  EXPECT_EQ(reds(image), 4 * (2 + 5 + 3)) << "a stem with a serif above and a foot";
  EXPECT_TRUE(is_red(image, 4, 6));
  Image other = white(10, 18);
  draw_text(other, 0, 0, "L", kRed, 2);
  EXPECT_EQ(other.rgb, image.rgb) << "capital letters look like small ones";
}

TEST(Draw, RegionsAreNumberedAndCanBeWrittenAsPng) {
  Image page = white(300, 200);
  Region region;
  region.label = RegionLabel::table;
  region.box = {40, 60, 250, 180};
  region.polygon = {{40, 60}, {145, 50}, {250, 60}, {250, 180}, {40, 180}};
  draw_regions(page, std::span(&region, 1));
  const Image again = decode_image(encode_png(page), "page").image;
  EXPECT_EQ(again.width, 300);
  EXPECT_EQ(again.rgb, page.rgb);
  EXPECT_NE(page.rgb, white(300, 200).rgb);
}

TEST(Encode, JpegIsCloseToThePicture) {
  Image image = white(33, 17);
  fill_box(image, {5, 3, 25, 12}, kRed);
  const DecodedImage decoded = decode_image(encode_jpeg(image, 95), "picture");
  ASSERT_EQ(decoded.format, "JPEG");
  ASSERT_EQ(decoded.image.rgb.size(), image.rgb.size());
  for (const std::size_t i : {std::size_t{0}, (std::size_t{7} * 33 + 15) * 3}) {
    EXPECT_NEAR(decoded.image.rgb[i], image.rgb[i], 6);
  }
  EXPECT_LT(encode_jpeg(image, 10).size(), encode_jpeg(image, 95).size());
}

TEST(Encode, RefusesWhatNoFileCanHold) {
  expect_error(ErrorCode::input, {"0x5", "PNG"}, [] { encode_png({0, 5, {}}); });
  expect_error(ErrorCode::input, {"70000x1", "JPEG"}, [] { encode_jpeg(white(70000, 1), 90); });
}

}  // namespace
}  // namespace glmocr
