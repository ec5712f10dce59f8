// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "glmocr/document.h"
#include "glmocr/layout.h"
#include "support/expect_error.h"
#include "support/temporary_folder.h"

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

// The small model for pages of 320×320, whose workspace is larger than a block of the arena.
class LargerPages {
 public:
  LargerPages() {
    for (const char* name : {"config.json", "model.safetensors"})
      std::filesystem::copy_file(kSmall + "/" + name, folder_ / name);
    std::ifstream file(kSmall + "/preprocessor_config.json");
    std::string settings{std::istreambuf_iterator<char>(file), {}};
    for (const std::string side : {"\"height\": 96", "\"width\": 160"}) {
      settings.replace(settings.find(side), side.size(), side.substr(0, side.rfind(' ')) + " 320");
    }
    folder_.write("preprocessor_config.json", settings);
  }
  std::string path() const { return folder_.path().string(); }

 private:
  TemporaryFolder folder_;
};

// Whether a page fits is a matter of the limit alone, not of what ran before.
TEST(LayoutModel, MemoryThatIsEnoughForAPageIsEnoughAtAnyTime) {
  const LargerPages snapshot;
  const std::vector<Image> pages(2, white(40, 30));
  const auto fits = [&](const LayoutModel& model, int at_once) {
    try {
      return model.detect(std::span(pages).first(at_once), {.pages_at_once = at_once}).size() > 0;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::memory);
      return false;
    }
  };
  int fitting = 0, too_small = 0;
  for (std::int64_t limit = 4 << 20; limit < 8 << 20; limit += 512 << 10) {
    const LayoutModel model =
        LayoutModel::load(snapshot.path(), {.device = "cpu:baseline", .memory_limit = limit});
    const bool first = fits(model, 1);
    EXPECT_EQ(fits(model, 1), first) << limit;
    fits(model, 2);
    EXPECT_EQ(fits(model, 1), first) << limit;
    (first ? fitting : too_small) += 1;
  }
  EXPECT_GT(fitting, 0);
  EXPECT_GT(too_small, 0);
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

std::vector<RegionLabel> labels_after_detection(const std::vector<Region>& found, bool compat = false) {
  std::vector<RegionLabel> labels;
  for (const Region& region : detected_regions(white(400, 400), found, {}, compat))
    labels.push_back(region.label);
  return labels;
}

Region found_region(RegionLabel label, const Box& box, float score = 0.9f) {
  Region region;
  region.label = label;
  region.box = box;
  region.score = score;
  return region;
}

TEST(DetectedRegions, AFormulaInALineIsReadWithIt) {
  const Region line = found_region(RegionLabel::text, {50, 100, 350, 130});
  const Region formula = found_region(RegionLabel::inline_formula, {60, 90, 120, 134});
  using enum RegionLabel;
  EXPECT_EQ(labels_after_detection({line, formula}), std::vector({text}));
  EXPECT_EQ(labels_after_detection({line, formula}, true), (std::vector{text, inline_formula}));
  const Region alone = found_region(inline_formula, {60, 200, 120, 230});
  EXPECT_EQ(labels_after_detection({line, alone}), (std::vector{text, inline_formula}));
}

TEST(DetectedRegions, DoubtfulSealsAreNone) {
  for (const float score : {0.55f, 0.65f}) {
    const Region seal = found_region(RegionLabel::seal, {50, 100, 250, 300}, score);
    EXPECT_EQ(labels_after_detection({seal}).size(), score > 0.6f);
    EXPECT_EQ(labels_after_detection({seal}, true).size(), 1u);
  }
}

}  // namespace
}  // namespace glmocr
