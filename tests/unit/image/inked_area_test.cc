// SPDX-License-Identifier: Apache-2.0
#include "image/inked_area.h"

#include <gtest/gtest.h>

namespace glmocr {
namespace {

Image blank(int width, int height, std::uint8_t value) {
  Image image;
  image.width = width;
  image.height = height;
  image.rgb.assign(std::int64_t{3} * width * height, value);
  return image;
}

void set_pixel(Image& image, int x, int y, std::uint8_t value) {
  std::fill_n(image.rgb.begin() + 3 * (std::int64_t{y} * image.width + x), 3, value);
}

TEST(InkedArea, BlankPicturesHaveNone) {
  EXPECT_EQ(inked_area(blank(100, 70, 255), 10), 0);
  EXPECT_EQ(inked_area(blank(100, 70, 0), 10), 0);
}

TEST(InkedArea, CountsTheSquaresThatHoldSomething) {
  for (const std::uint8_t paper : {255, 0}) {
    Image image = blank(100, 70, paper);
    set_pixel(image, 0, 0, 128);
    set_pixel(image, 9, 9, 128);
    EXPECT_EQ(inked_area(image, 10), 100);
    set_pixel(image, 10, 9, 128);
    EXPECT_EQ(inked_area(image, 10), 200);
  }
}

TEST(InkedArea, SquaresEndAtTheEdge) {
  Image image = blank(25, 14, 255);
  set_pixel(image, 24, 13, 0);
  EXPECT_EQ(inked_area(image, 10), 5 * 4);
  EXPECT_EQ(inked_area(image, 100), 25 * 14);
}

TEST(InkedArea, PaperIsNeverQuiteEven) {
  Image image = blank(40, 40, 240);
  for (int i = 0; i < 40; ++i) set_pixel(image, i, i, 230);
  EXPECT_EQ(inked_area(image, 10), 0);
}

}  // namespace
}  // namespace glmocr
