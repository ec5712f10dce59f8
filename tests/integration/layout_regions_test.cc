// SPDX-License-Identifier: Apache-2.0
// `glm-ocr layout`: JSON and pictures of the regions of pages. Mostly by a small model with random weights, whose regions
// mean nothing.
#include <gmock/gmock.h>

#include "integration/program.h"
#include "support/tiff_writer.h"

namespace glmocr::integration {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

using Arguments = std::vector<std::string>;

const std::string kLongLine = picture("line_300x40.png");
const std::string kPng = "\x89PNG";

ProcessResult layout_of(const Arguments& arguments) {
  Arguments all = {"layout", "--layout-model", data("layout-small")};
  all.insert(all.end(), arguments.begin(), arguments.end());
  return run(all);
}

class LayoutRegions : public testing::Test {
 protected:
  std::string path(const std::string& name) const { return (folder_.path() / name).string(); }

 private:
  TemporaryFolder folder_;
};

void expect_region(const json& region, std::size_t order, double width, double height) {
  EXPECT_EQ(region["order"], order);
  EXPECT_THAT(region["label"].get<std::string>(), testing::Not(IsEmpty()));
  EXPECT_GE(region["score"], 0.3);
  const json& box = region["box"];
  EXPECT_GE(box[0], 0);
  EXPECT_LT(box[0], box[2]);
  EXPECT_LE(box[2], width);
  EXPECT_LT(box[1], box[3]);
  EXPECT_LE(box[3], height);
  EXPECT_GE(region["polygon"].size(), 3u);
  for (const json& point : region["polygon"]) EXPECT_EQ(point.size(), 2u);
}

TEST_F(LayoutRegions, TheEmbeddedModelFindsTheTextOfAPage) {
  const ProcessResult result = run({"layout", picture("invoice_401x237.png")});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const std::vector<json> pages = json_lines(result.out);
  ASSERT_EQ(pages.size(), 1u);
  EXPECT_EQ(pages[0]["file"], picture("invoice_401x237.png"));
  EXPECT_FALSE(pages[0].contains("page"));
  EXPECT_EQ(pages[0]["width"], 401);
  EXPECT_EQ(pages[0]["height"], 237);
  const json& regions = pages[0]["regions"];
  ASSERT_GE(regions.size(), 1u);
  for (std::size_t i = 0; i < regions.size(); ++i) expect_region(regions[i], i, 401, 237);
}

TEST_F(LayoutRegions, EveryRegionHasAPolygonAlsoWhereItsEdgesWereMoved) {
  const ProcessResult result = layout_of({picture("invoice_401x237.png"), kWord});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const std::vector<json> pages = json_lines(result.out);
  ASSERT_EQ(pages.size(), 2u);
  ASSERT_GE(pages[0]["regions"].size(), 1u);
  for (const json& page : pages) {
    for (const json& region : page["regions"]) EXPECT_GE(region["polygon"].size(), 3u) << region;
  }
}

TEST_F(LayoutRegions, RawGivesWhatTheThresholdLeaves) {
  const auto count = [](const Arguments& arguments) {
    return json_lines(layout_of(arguments).out).at(0)["regions"].size();
  };
  const std::size_t many = count({"--raw", "--threshold", "0.3", kLongLine});
  const std::size_t few = count({"--raw", "--threshold", "0.9", kLongLine});
  EXPECT_GT(many, few);
  EXPECT_GT(many, count({"--threshold", "0.3", kLongLine}));  // without duplicates
}

TEST_F(LayoutRegions, ABrokenPageIsAnObjectWithAnErrorAndDoesNotStopTheOthers) {
  const ProcessResult both = layout_of({kBroken, kWord});
  EXPECT_EQ(both.exit_code, 1);
  EXPECT_THAT(lines_of(both.err), ElementsAre(StartsWith("glm-ocr: " + kBroken)));
  const std::vector<json> pages = json_lines(both.out);
  ASSERT_EQ(pages.size(), 2u);
  EXPECT_EQ(pages[0]["error"]["code"], "input");
  EXPECT_EQ(pages[1]["file"], kWord);
  EXPECT_EQ(layout_of({kBroken}).exit_code, 3);
}

TEST_F(LayoutRegions, PagesHaveNumbersAndCanBeChosen) {
  write_all(path("two.tiff"), tiff_of({{30, 20, 255}, {40, 20, 255}}));
  const std::vector<json> pages = json_lines(layout_of({path("two.tiff")}).out);
  ASSERT_EQ(pages.size(), 2u);
  EXPECT_EQ(pages[0]["page"], 1);
  EXPECT_EQ(pages[1]["page"], 2);
  EXPECT_EQ(pages[1]["width"], 40);
  const std::vector<json> second = json_lines(layout_of({"--pages", "2", path("two.tiff")}).out);
  ASSERT_EQ(second.size(), 1u);
  EXPECT_EQ(second[0]["page"], 2);
}

TEST_F(LayoutRegions, PicturesGoToStandardOutputAFileOrAFolder) {
  EXPECT_THAT(layout_of({"--format", "png", kWord}).out, StartsWith(kPng));
  const ProcessResult file = layout_of({"--format", "png", "-o", path("one.png"), kWord});
  EXPECT_EQ(file.exit_code, 0) << file.err;
  EXPECT_THAT(file.out, IsEmpty());
  EXPECT_THAT(read_all(path("one.png")), StartsWith(kPng));

  write_all(path("two.tiff"), tiff_of({{30, 20, 255}, {40, 20, 255}}));
  EXPECT_EQ(layout_of({"--format", "png", "-o", path("all"), kWord, path("two.tiff")}).exit_code, 0);
  for (const char* name : {"word_112x56.png", "two.tiff-1", "two.tiff-2"})
    EXPECT_THAT(read_all(path("all/" + std::string(name) + ".layout.png")), StartsWith(kPng)) << name;
}

TEST_F(LayoutRegions, DumpWritesTheTensorsOfEachPage) {
  ASSERT_EQ(layout_of({"--dump", path("dump"), kWord, kLongLine}).exit_code, 0);
  for (const char* page : {"word_112x56.png", "line_300x40.png"}) {
    for (const char* tensor :
         {"pixel_values", "backbone.stages.3", "encoder.masks", "decoder.selected", "logits"})
      EXPECT_TRUE(fs::exists(path("dump/" + std::string(page) + "/" + tensor + ".npy")))
          << page << " " << tensor;
  }
}

TEST_F(LayoutRegions, MistakesEndWithTwoAndAModelThatIsNoneWithFour) {
  EXPECT_THAT(layout_of({"--threshold", "2", kWord}), testing::Field(&ProcessResult::exit_code, 2));
  EXPECT_THAT(run({"layout"}), testing::Field(&ProcessResult::exit_code, 2));
  const ProcessResult reader = run({"layout", "--layout-model", data("narrow"), kWord});
  EXPECT_EQ(reader.exit_code, 4);
  EXPECT_THAT(reader.err, AllOf(HasSubstr("config.json"), HasSubstr("pp_doclayout_v3")));
}

}  // namespace
}  // namespace glmocr::integration
