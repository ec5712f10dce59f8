// SPDX-License-Identifier: Apache-2.0
#include "engine/text_room.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/mapped_file.h"
#include "engine/repetition.h"
#include "engine/request.h"
#include "glmocr/image.h"
#include "models/tokenizer.h"
#include "unit/engine/test_model.h"

namespace glmocr::engine {
namespace {

constexpr int kPatch = 14;

PreprocessedImage picture(int width, int height) {
  PreprocessedImage picture;
  picture.resized.width = width;
  picture.resized.height = height;
  picture.resized.rgb.assign(std::int64_t{3} * width * height, 255);
  return picture;
}

void ink(PreprocessedImage& picture, int left, int top, int width, int height) {
  for (int y = top; y < top + height; ++y) {
    const std::int64_t begin = 3 * (std::int64_t{y} * picture.resized.width + left);
    std::fill_n(picture.resized.rgb.begin() + begin, 3 * width, 0);
  }
}

// Rows of upright strokes of this height, as letters have them.
void write(PreprocessedImage& picture, int top, int bottom, int stroke) {
  for (int y = top; y + stroke < bottom; y += 2 * stroke) {
    for (int x = 4; x + stroke < picture.resized.width; x += stroke / 2)
      ink(picture, x, y, stroke / 5, stroke);
  }
}

TextRoom room_of(const std::vector<PreprocessedImage>& pictures) { return text_room(pictures, kPatch); }

double area(const PreprocessedImage& picture) { return room_of({picture}).area; }

TEST(TextRoom, WithoutPicturesThereIsNoBound) {
  const TextRoom room = room_of({});
  EXPECT_TRUE(std::isinf(room.area));
  EXPECT_TRUE(std::isinf(room.line));
}

TEST(TextRoom, BlankPaperHasNone) { EXPECT_EQ(area(picture(448, 448)), 0); }

TEST(TextRoom, ALineIsTheLongestSideOfTheSmallestLetters) {
  EXPECT_DOUBLE_EQ(room_of({picture(448, 224)}).line, 448 / 7.0);
  EXPECT_DOUBLE_EQ(room_of({picture(448, 224), picture(224, 896)}).line, 896 / 7.0);
}

TEST(TextRoom, PicturesAddUp) {
  PreprocessedImage one = picture(448, 448);
  write(one, 0, 448, 16);
  EXPECT_GT(area(one), 100);
  EXPECT_DOUBLE_EQ(room_of({one, one}).area, 2 * area(one));
}

TEST(TextRoom, LargeLettersHaveLess) {
  PreprocessedImage small = picture(448, 448), large = picture(448, 448);
  write(small, 0, 448, 12);
  write(large, 0, 448, 28);
  EXPECT_GT(area(small), 3 * area(large));
}

// A title in large letters does not take the room of the small print below it.
TEST(TextRoom, EachPartIsMeasuredInItsOwnLetters) {
  PreprocessedImage title = picture(448, 896), print = picture(448, 896), page = picture(448, 896);
  write(title, 0, 224, 36);
  write(print, 224, 896, 10);
  write(page, 0, 224, 36);
  write(page, 224, 896, 10);
  EXPECT_NEAR(area(page), area(title) + area(print), 1e-6 * area(page));
}

// Where too little is written to tell the height, letters may be half a patch high.
TEST(TextRoom, ASpeckMayBeALetter) {
  PreprocessedImage speck = picture(448, 448);
  ink(speck, 100, 100, 2, 2);
  EXPECT_GE(area(speck), 1);
}

TEST(TextRoom, IsMeasuredForARequest) {
  const std::vector<Image> images{test_picture(112, 168, 1)};
  const auto room = [&](const ReadOptions& options) {
    return make_request(test_model(), images, options).room;
  };
  EXPECT_EQ(room({}).line, 168 / 7.0);
  EXPECT_GT(room({}).area, 0);
  EXPECT_TRUE(std::isinf(room({.guard = false}).line));
  EXPECT_GT(room({.prompt = "Say it in other words:"}).line, room({}).line);
  EXPECT_GT(room({.task = Task::extract, .schema = R"({"a":""})"}).area, room({}).area);
}

TEST(TextRoom, TheSamplesHaveRoomForTheirTexts) {
  const std::string folder = GLMOCR_SOURCE_DIR "/tests/data/samples/";
  const std::string mini = GLMOCR_SOURCE_DIR "/models/mini";
  const PreprocessConfig config = load_config(mini).preprocess;
  const Tokenizer tokenizer = Tokenizer::load(mini + "/tokenizer.json");
  for (const auto& sample : nlohmann::json::parse(read_file(folder + "truth.json"))) {
    const std::string file = sample.at("file");
    const TextRoom room = room_of({preprocess(load_image(folder + file), config, SmallPrint::enlarged)});
    RepetitionGuard guard(room);
    TextExtent extent;
    for (const TokenId token : tokenizer.encode(sample.at("text").get<std::string>())) {
      const std::string bytes = tokenizer.piece_bytes(token, true);
      extent.add(bytes);
      ASSERT_FALSE(guard.push(token, bytes)) << file;
    }
    EXPECT_GE(room.area, 3 * extent.total().width) << file;
  }
}

}  // namespace
}  // namespace glmocr::engine
