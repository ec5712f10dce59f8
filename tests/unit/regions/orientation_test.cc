// SPDX-License-Identifier: Apache-2.0
#include "regions/orientation.h"

#include <gtest/gtest.h>

#include <cmath>

#include "image/orient.h"
#include "support/expect_error.h"
#include "unit/regions/drawn_page.h"

namespace glmocr {
namespace {

DrawnPage page_of_text() {
  DrawnPage page(900, 1200);
  for (int i = 0; i < 3; ++i) page.paragraph(80, 80 + 350 * i, 820, 8, 20);
  return page;
}

// As found after a turn of the page by so many degrees clockwise.
PageAngle angle_after(const Image& page, int turn) {
  constexpr int kOrientation[] = {1, 6, 3, 8};
  return find_angle(oriented(page, kOrientation[turn / 90]));
}

TEST(FindAngle, QuartersAreFoundByLettersThatRise) {
  const Image page = page_of_text().image;
  for (const int turn : {0, 90, 180, 270}) {
    const PageAngle angle = angle_after(page, turn);
    EXPECT_EQ((angle.rotation + turn) % 360, 0) << turn;
    EXPECT_EQ(angle.skew, 0);
    EXPECT_GT(angle.confidence, 0.5);
  }
}

TEST(FindAngle, SkewIsFoundAndTurnedBack) {
  const Image page = page_of_text().image;
  for (const double skew : {-14.0, -3.1, 0.7, 9.5}) {
    // Turned back by -skew, it is skewed by that much.
    const Image skewed = turn_back(page, {0, -skew, 1});
    const PageAngle angle = find_angle(skewed);
    EXPECT_EQ(angle.rotation, 0);
    EXPECT_NEAR(angle.skew, skew, 0.2);
    const PageAngle after = find_angle(turn_back(skewed, angle));
    EXPECT_EQ(after.skew, 0);
  }
}

TEST(FindAngle, SidewaysAndSkewedAreFoundTogether) {
  const Image skewed = turn_back(page_of_text().image, {0, -4, 1});
  const PageAngle angle = angle_after(skewed, 90);
  EXPECT_EQ(angle.rotation, 270);
  EXPECT_NEAR(angle.skew, 4, 0.2);
}

TEST(FindAngle, NothingIsTurnedWhereNothingIsSure) {
  // Letters of one height, as in capitals or numbers: no way up is told, so upright lines stay as they are.
  DrawnPage capitals(900, 1200);
  for (int line = 0; line < 20; ++line)
    for (int i = 0; i < 50; ++i) capitals.letter(80 + 15 * i, 100 + 40 * line, 24, 0);
  for (const int turn : {0, 90, 180, 270}) EXPECT_EQ(angle_after(capitals.image, turn).rotation, 0) << turn;
  // A grid of signs, as in Chinese.
  DrawnPage grid(900, 1200);
  for (int line = 0; line < 25; ++line)
    for (int i = 0; i < 20; ++i) grid.letter(80 + 36 * i, 100 + 36 * line, 44, 0);
  for (const int turn : {0, 90, 180, 270}) EXPECT_EQ(angle_after(grid.image, turn).rotation, 0) << turn;
  DrawnPage few(900, 1200);
  few.line(100, 100, 400, 20);
  for (const int turn : {0, 90, 180, 270}) {
    EXPECT_EQ(angle_after(few.image, turn).rotation, 0);
    EXPECT_EQ(angle_after(few.image, turn).confidence, 0);
  }
  for (const Image& blank : {DrawnPage(900, 1200).image, DrawnPage(1, 1).image, Image()}) {
    EXPECT_EQ(find_angle(blank).rotation, 0);
    EXPECT_EQ(find_angle(blank).confidence, 0);
  }
}

TEST(TurnBack, QuartersAreExact) {
  DrawnPage page(3, 2);
  for (int i = 0; i < 6; ++i) page.fill(i % 3, i / 3, i % 3 + 1, i / 3 + 1, static_cast<std::uint8_t>(i));
  const auto corner = [](const Image& image) { return int{image.rgb[0]}; };
  EXPECT_EQ(corner(turn_back(page.image, {0, 0, 1})), 0);
  EXPECT_EQ(corner(turn_back(page.image, {90, 0.2, 1})), 3);
  EXPECT_EQ(turn_back(page.image, {90, 0.2, 1}).width, 2);
  EXPECT_EQ(corner(turn_back(page.image, {180, 0, 1})), 5);
  EXPECT_EQ(corner(turn_back(page.image, {270, 0, 1})), 2);
}

TEST(TurnBack, SkewIsFilledWithWhiteAndNothingIsCutOff) {
  DrawnPage page(200, 100, 0);
  const Image turned = turn_back(page.image, {0, 10, 1});
  EXPECT_GT(turned.width, 200);
  EXPECT_GT(turned.height, 100);
  EXPECT_EQ(turned.rgb[0], 255);
  std::int64_t dark = 0;
  for (std::size_t i = 0; i < turned.rgb.size(); i += 3) dark += 255 - turned.rgb[i];
  EXPECT_NEAR(double(dark) / 255, 200 * 100, 200);
}

TEST(TurnBack, OtherAnglesAreRefused) {
  expect_error(ErrorCode::usage, {"45"}, [] { turn_back(DrawnPage(2, 2).image, {45, 0, 1}); });
  expect_error(ErrorCode::usage, {"80"}, [] { turn_back(DrawnPage(2, 2).image, {0, 80, 1}); });
}

}  // namespace
}  // namespace glmocr
