// SPDX-License-Identifier: Apache-2.0
#include "image/letter_height.h"

#include <gtest/gtest.h>

#include <cmath>

#include "image/resize.h"
#include "unit/image/fixtures.h"

namespace glmocr {
namespace {

// The accuracy of the embedded model is measured with the estimate of train/letters.py, so ours must equal
// it.
TEST(LetterHeight, EqualsTheTrainingsEstimate) {
  const nlohmann::json list = read_list("pictures/letter_heights.json");
  ASSERT_GE(list.size(), 50u);
  for (const nlohmann::json& row : list) {
    const std::optional<double> estimate = estimate_letter_height(read_picture(row[0]));
    ASSERT_EQ(estimate.has_value(), !row[1].is_null()) << row;
    if (estimate) {
      EXPECT_EQ(*estimate, row[1].get<double>()) << row;
    }
  }
}

TEST(LetterHeight, TheCautiousEstimateIsNeverHigher) {
  int lower = 0;
  for (const nlohmann::json& sample : read_list("samples/truth.json")) {
    const Image image = read_picture("samples/" + sample.at("file").get<std::string>());
    const std::optional<double> estimate = estimate_letter_height(image);
    const std::optional<double> cautious = cautious_letter_height(image);
    if (!cautious) continue;
    ASSERT_TRUE(estimate);
    EXPECT_LE(*cautious, *estimate);
    if (*cautious < *estimate) ++lower;
  }
  EXPECT_GE(lower, 3) << "tables, whose rules count as strokes";
}

TEST(LetterHeight, TheCautiousEstimateLeavesOutRules) {
  Image image{.width = 224, .height = 224, .rgb = std::vector<std::uint8_t>(3 * 224 * 224, 255)};
  const auto ink = [&](int left, int top, int width, int height) {
    for (int y = top; y < top + height; ++y)
      std::fill_n(image.rgb.begin() + 3 * (y * 224 + left), 3 * width, 0);
  };
  for (int y = 8; y < 200; y += 48) {
    for (int x = 8; x < 200; x += 16) {
      ink(x, y, 2, 40);  // a rule in pieces, as in a table that is a little askew
      ink(x + 6, y + 8, 4, 6);
    }
  }
  EXPECT_GT(estimate_letter_height(image).value(), 40);
  EXPECT_LT(cautious_letter_height(image).value(), 10);
}

TEST(LetterHeight, ComesNearTheTruth) {
  double squares = 0;
  int count = 0;
  for (const nlohmann::json& sample : read_list("samples/truth.json")) {
    if (sample.at("task") == "formula" || sample.at("kind") == "textless") continue;  // letters of many sizes
    const auto file = sample.at("file").get<std::string>();
    const std::optional<double> estimate = estimate_letter_height(read_picture("samples/" + file));
    ASSERT_TRUE(estimate) << file;
    const double truth = sample.at("letter");
    if (truth <= 14) {
      EXPECT_LT(*estimate, 20) << file << ": small print that would not be enlarged";
    }
    squares += std::pow(std::log(*estimate / truth), 2);
    ++count;
  }
  EXPECT_LT(std::sqrt(squares / count), 0.3) << "over " << count << " pictures";
}

TEST(LetterHeight, GrowsWithThePicture) {
  const Image page = read_picture("samples/demo-page.png");
  const Image half = resize_bicubic(page, page.width / 2, page.height / 2);
  EXPECT_NEAR(*estimate_letter_height(half) / *estimate_letter_height(page), 0.5, 0.1);
}

TEST(LetterHeight, LightLettersOnDarkPaperCountTheSame) {
  Image page = read_picture("samples/demo-page.png");
  const double dark = *estimate_letter_height(page);
  for (std::uint8_t& value : page.rgb) value = static_cast<std::uint8_t>(255 - value);
  EXPECT_NEAR(*estimate_letter_height(page), dark, 1.5);
}

TEST(LetterHeight, NothingWithoutLetters) {
  EXPECT_FALSE(estimate_letter_height({1, 1, {0, 0, 0}}));
  EXPECT_FALSE(estimate_letter_height({200, 3, std::vector<std::uint8_t>(1800, 128)}));
  EXPECT_FALSE(estimate_letter_height(read_picture("pictures/blank_112x112.png")));
}

}  // namespace
}  // namespace glmocr
