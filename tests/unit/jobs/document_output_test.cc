// SPDX-License-Identifier: Apache-2.0
#include "jobs/document_output.h"

#include <gmock/gmock.h>

#include <algorithm>

#include <nlohmann/json.hpp>

#include "base/mapped_file.h"
#include "support/expect_error.h"
#include "support/temporary_folder.h"
#include "unit/jobs/pages.h"

namespace glmocr {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

OutputSettings settings_of(std::vector<OutputKind> kinds, bool compat = false) {
  OutputSettings settings;
  settings.kinds = std::move(kinds);
  settings.compat = compat;
  return settings;
}

TEST(OutputNamesTest, AreThoseOfTheTree) {
  const OutputNames names({"/x/2024/march.pdf", "2024/march.pdf"}, {});
  EXPECT_EQ(names.file(OutputKind::markdown), "2024/march.pdf.md");
  EXPECT_EQ(names.file(OutputKind::text), "2024/march.pdf.txt");
  EXPECT_EQ(names.file(OutputKind::pdf), "2024/march.pdf.pdf");
  EXPECT_EQ(names.crops(), "2024/march.pdf.imgs");
  EXPECT_EQ(names.layout_picture(3), "2024/march.pdf.layout/page3.png");
  EXPECT_EQ(names.layout_picture(0), "2024/march.pdf.layout/page1.png");
}

TEST(OutputNamesTest, OfTheSdk) {
  const OutputSettings settings = settings_of({OutputKind::markdown}, true);
  const OutputNames names({"/x/2024/ma:rch.pdf", "2024/ma:rch.pdf"}, settings);
  EXPECT_EQ(names.file(OutputKind::markdown), "2024/ma_rch/ma_rch.md");
  EXPECT_EQ(names.file(OutputKind::json), "2024/ma_rch/ma_rch.json");
  EXPECT_EQ(names.model_json(), "2024/ma_rch/ma_rch_model.json");
  EXPECT_EQ(names.crops(), "2024/ma_rch/imgs");
  EXPECT_EQ(names.layout_picture(3), "2024/ma_rch/layout_vis/ma_rch_page2.png");
  EXPECT_EQ(names.layout_picture(0), "2024/ma_rch/layout_vis/ma_rch.png");
}

TEST(OutputNamesTest, ThatCompatWouldMakeEqualAreRefused) {
  const std::vector<JobInput> inputs = {
      {"in/a.pdf", "a.pdf"}, {"in/b/a.png", "b/a.png"}, {"in/a.png", "a.png"}};
  check_names(inputs, settings_of({OutputKind::markdown}));
  expect_error(ErrorCode::usage, {"in/a.png: would have the same output as in/a.pdf with --compat sdk"},
               [&] { check_names(inputs, settings_of({OutputKind::markdown}, true)); });
}

TEST(OutputKinds, HaveTheNamesOfTheOption) {
  std::vector<std::string> names;
  for (const OutputKind kind : all_output_kinds()) names.push_back(to_string(kind));
  EXPECT_THAT(names, ElementsAre("md", "json", "jsonl", "html", "txt", "hocr", "alto", "pdf", "layout"));
  EXPECT_TRUE(settings_of({OutputKind::text, OutputKind::json}).has_crops());
  EXPECT_FALSE(settings_of({OutputKind::text, OutputKind::layout, OutputKind::pdf}).has_crops());
}

class Outputs : public testing::Test {
 protected:
  // A grey page whose picture region has this grey.
  static ReadPage read_page(std::int64_t number, std::uint8_t grey) {
    ReadPage page;
    page.page = page_of(number, {text_region("Text " + std::to_string(number)), picture_region()});
    page.image = {100, 100, std::vector<std::uint8_t>(30'000, grey)};
    return page;
  }
  void add(const ReadPage& page, const OutputSettings& settings) {
    write_page_pictures(page, OutputNames(input_, settings), settings, folder_.path());
    journal_.add(page.page);
  }
  void write(const OutputSettings& settings) {
    write_outputs(journal_, input_, OutputNames(input_, settings), settings, {}, folder_.path());
  }
  // Relative to the folder, sorted.
  std::vector<std::string> files() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::recursive_directory_iterator(folder_.path())) {
      if (entry.is_regular_file()) names.push_back(entry.path().lexically_relative(folder_.path()).string());
    }
    std::sort(names.begin(), names.end());
    return names;
  }
  // The grey of a crop's first pixel.
  int grey_of(const std::string& name) const { return load_image(folder_ / name).rgb.at(0); }

  TemporaryFolder folder_;
  const JobInput input_{"/nowhere/a.pdf", "sub/a.pdf"};
  PageJournal journal_;
};

TEST_F(Outputs, OfEveryTextFormatAreWritten) {
  const OutputSettings settings =
      settings_of({OutputKind::markdown, OutputKind::json, OutputKind::jsonl, OutputKind::html,
                   OutputKind::text, OutputKind::hocr, OutputKind::alto, OutputKind::layout});
  add(read_page(2, 100), settings);
  add(read_page(1, 100), settings);
  write(settings);
  EXPECT_THAT(files(), ElementsAre("sub/a.pdf.alto", "sub/a.pdf.hocr", "sub/a.pdf.html",
                                   "sub/a.pdf.imgs/page1_region1.jpg", "sub/a.pdf.imgs/page2_region1.jpg",
                                   "sub/a.pdf.json", "sub/a.pdf.jsonl", "sub/a.pdf.layout/page1.png",
                                   "sub/a.pdf.layout/page2.png", "sub/a.pdf.md", "sub/a.pdf.txt"));
  EXPECT_THAT(read_file(folder_ / "sub/a.pdf.md"),
              AllOf(HasSubstr("(a.pdf.imgs/page1_region1.jpg)"), HasSubstr("Text 1"), HasSubstr("Text 2")));
  EXPECT_EQ(read_file(folder_ / "sub/a.pdf.txt"), "Text 1\n\nText 2\n");
  EXPECT_EQ(nlohmann::json::parse(read_file(folder_ / "sub/a.pdf.json"))["pages"].size(), 2u);
  const Image crop = load_image(folder_ / "sub/a.pdf.imgs/page1_region1.jpg");
  EXPECT_EQ(crop.width, 54);
  EXPECT_EQ(crop.height, 44);
  const Image layout = load_image(folder_ / "sub/a.pdf.layout/page1.png");
  EXPECT_EQ(layout.width, 100);
  EXPECT_NE(layout.rgb, std::vector<std::uint8_t>(30'000, 100)) << "boxes are drawn";
}

TEST_F(Outputs, AreCompleteWithTheirPicturesOnly) {
  const OutputSettings settings = settings_of({OutputKind::markdown, OutputKind::layout});
  const OutputNames names(input_, settings);
  const auto complete = [&] { return has_outputs(names, settings, folder_.path(), 4); };
  add(read_page(1, 100), settings);
  add(read_page(2, 100), settings);
  EXPECT_FALSE(complete());
  write(settings);
  EXPECT_EQ(count_pictures(names, settings, folder_.path()), 4);
  EXPECT_EQ(count_pictures(names, settings_of({OutputKind::layout}), folder_.path()), 2);
  EXPECT_EQ(count_pictures(names, settings_of({OutputKind::text}), folder_.path()), 0);
  EXPECT_TRUE(complete());
  for (const char* picture : {"sub/a.pdf.layout/page2.png", "sub/a.pdf.imgs/page1_region1.jpg"}) {
    fs::rename(folder_ / picture, folder_ / "away");
    EXPECT_FALSE(complete()) << picture;
    fs::rename(folder_ / "away", folder_ / picture);
  }
  fs::remove_all(folder_ / "sub/a.pdf.layout");
  EXPECT_FALSE(complete());
}

TEST_F(Outputs, PagesThatFailedHaveNoPictures) {
  const OutputSettings settings = settings_of({OutputKind::json, OutputKind::layout});
  ReadPage page;
  page.page = failed_page(1);
  add(page, settings);
  add(read_page(2, 100), settings);
  write(settings);
  EXPECT_THAT(files(), ElementsAre("sub/a.pdf.imgs/page2_region1.jpg", "sub/a.pdf.json",
                                   "sub/a.pdf.layout/page2.png"));
  const nlohmann::json pages = nlohmann::json::parse(read_file(folder_ / "sub/a.pdf.json"))["pages"];
  EXPECT_TRUE(pages[0].contains("error"));
}

TEST_F(Outputs, TextAloneHasNoPictures) {
  const OutputSettings settings = settings_of({OutputKind::text});
  add(read_page(1, 100), settings);
  write(settings);
  EXPECT_THAT(files(), ElementsAre("sub/a.pdf.txt"));
}

// As a run does that was stopped between any two steps.
TEST_F(Outputs, CropsGetTheNamesOfTheSdkOnce) {
  const OutputSettings settings = settings_of({OutputKind::markdown, OutputKind::json}, true);
  add(read_page(1, 50), settings);
  add(read_page(2, 150), settings);
  const auto check = [&] {
    write(settings);
    EXPECT_THAT(files(),
                ElementsAre("sub/a/a.json", "sub/a/a.md", "sub/a/a_model.json",
                            "sub/a/imgs/cropped_page0_idx0.jpg", "sub/a/imgs/cropped_page1_idx1.jpg"));
    EXPECT_NEAR(grey_of("sub/a/imgs/cropped_page0_idx0.jpg"), 50, 3);
    EXPECT_NEAR(grey_of("sub/a/imgs/cropped_page1_idx1.jpg"), 150, 3);
  };
  check();
  check();
  fs::rename(folder_ / "sub/a/imgs/cropped_page1_idx1.jpg", folder_ / "sub/a/imgs/page2_region1.jpg");
  check();
}

// Pages that come later change the numbers of all crops behind them.
TEST_F(Outputs, CropsOfTheSdkMoveUpWhenAFailedPageIsRead) {
  const OutputSettings settings = settings_of({OutputKind::markdown}, true);
  ReadPage failed;
  failed.page = failed_page(1);
  add(failed, settings);
  add(read_page(2, 150), settings);
  add(read_page(3, 250), settings);
  write(settings);
  EXPECT_NEAR(grey_of("sub/a/imgs/cropped_page0_idx0.jpg"), 150, 3);
  EXPECT_NEAR(grey_of("sub/a/imgs/cropped_page1_idx1.jpg"), 250, 3);
  add(read_page(1, 50), settings);
  write(settings);
  int grey = 50;
  for (const char* name : {"cropped_page0_idx0.jpg", "cropped_page1_idx1.jpg", "cropped_page2_idx2.jpg"}) {
    EXPECT_NEAR(grey_of(std::string("sub/a/imgs/") + name), grey, 3);
    grey += 100;
  }
}

TEST_F(Outputs, ToAStreamHaveNoLinks) {
  journal_.add(read_page(1, 100).page);
  std::string text;
  write_document(OutputKind::markdown, journal_, "a.pdf", {}, "", {},
                 [&](std::string_view piece) { text += piece; });
  EXPECT_THAT(text, AllOf(HasSubstr("Text 1"), Not(HasSubstr("page1_region1"))));
}

TEST_F(Outputs, WhatCannotBeWrittenIsNamedAndLeavesNothing) {
  journal_.add(text_page(1, "one"));
  folder_.write("sub", "a file in the place of the folder");
  expect_error(ErrorCode::input, {"sub/a.pdf.md"}, [&] { write(settings_of({OutputKind::markdown})); });
  expect_error(ErrorCode::input, {"sub/a.pdf.imgs: cannot be made"},
               [&] { add(read_page(1, 100), settings_of({OutputKind::markdown})); });
  EXPECT_THAT(files(), ElementsAre("sub"));
}

}  // namespace
}  // namespace glmocr
