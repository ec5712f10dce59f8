// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

#include "glmocr/document.h"
#include "glmocr/layout.h"
#include "support/expect_error.h"

namespace glmocr {
namespace {

const std::string kSmall = GLMOCR_TEST_DATA "/layout-small";

Image white(int width, int height) {
  return {width, height, std::vector<std::uint8_t>(std::size_t(width) * height * 3, 255)};
}

TEST(LayoutModel, NoPagesGiveNoRegions) {
  const LayoutModel model = LayoutModel::load(kSmall);
  EXPECT_TRUE(model.detect({}).empty());
  EXPECT_GT(model.memory_bytes(), 0);
  EXPECT_EQ(model.path(), kSmall);
}

TEST(LayoutModel, RefusesWhatCannotBe) {
  const LayoutModel model = LayoutModel::load(kSmall);
  const Image page = white(10, 10), empty;
  expect_error(ErrorCode::input, {"page 1: 0x0"}, [&] { model.detect({&empty, 1}); });
  expect_error(ErrorCode::usage, {"threshold"}, [&] { model.detect({&page, 1}, {.threshold = 2}); });
  expect_error(ErrorCode::usage, {"pages_at_once"}, [&] { model.detect({&page, 1}, {.pages_at_once = 0}); });
  expect_error(ErrorCode::model, {"nowhere"}, [] { LayoutModel::load("/nowhere"); });
}

// The callers of a library fill pictures themselves.
TEST(LayoutModel, RefusesPagesWithOtherPixelsThanTheirSizeSays) {
  const LayoutModel model = LayoutModel::load(kSmall);
  for (const std::size_t bytes : {0, 3, 299, 303, 900}) {
    const std::vector<Image> pages{white(10, 10), {10, 10, std::vector<std::uint8_t>(bytes)}};
    expect_error(ErrorCode::input, {"page 2", "10x10", std::to_string(bytes)}, [&] { model.detect(pages); });
    expect_error(ErrorCode::input, {"10x10"}, [&] { labelled_regions(model)(pages[1]); });
    expect_error(ErrorCode::input, {"10x10"}, [&] { detected_regions(model)(pages[1]); });
  }
}

TEST(LayoutModel, OnePixelIsAPage) {
  const LayoutModel model = LayoutModel::load(kSmall);
  const Image page = white(1, 1);
  EXPECT_EQ(model.detect({&page, 1}, {.threshold = 1}).size(), 1u);
}

TEST(LayoutModel, CountsItsMemory) {
  expect_error(ErrorCode::memory, {}, [] { LayoutModel::load(kSmall, {.memory_limit = 1000}); });
  const LayoutModel model = LayoutModel::load(kSmall, {.memory_limit = 2 << 20});
  const std::vector<Image> pages(16, white(4, 4));
  expect_error(ErrorCode::memory, {}, [&] { model.detect(pages, {.pages_at_once = 16}); });
  EXPECT_EQ(LayoutModel::load(kSmall, {.memory_limit = 64 << 20}).detect(pages).size(), 16u);
}

TEST(LayoutModel, ACardThatIsNotThereIsAnError) {
  expect_error(ErrorCode::device, {"cuda:77"}, [] { LayoutModel::load(kSmall, {.device = "cuda:77"}); });
}

TEST(LayoutModel, TheVariableNamesTheDefault) {
  ASSERT_EQ(::setenv("GLMOCR_LAYOUT_MODEL", "/somewhere", 1), 0);
  EXPECT_EQ(default_layout_model_path(), "/somewhere");
  ::unsetenv("GLMOCR_LAYOUT_MODEL");
  EXPECT_TRUE(std::filesystem::exists(std::filesystem::path(default_layout_model_path()) / "config.json"));
}

}  // namespace
}  // namespace glmocr
