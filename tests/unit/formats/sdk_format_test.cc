// SPDX-License-Identifier: Apache-2.0
#include "formats/sdk_format.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "unit/formats/documents.h"

namespace glmocr::formats {
namespace {

using testing::ElementsAre;
using testing::Field;

std::string sdk_markdown(std::vector<Region> regions) {
  return SdkFormatter().page(page(std::move(regions))).markdown;
}

Region formula(const std::string& content) { return region(RegionLabel::display_formula, content); }
Region number(const std::string& content) { return region(RegionLabel::formula_number, content); }

TEST(SdkFormat, Json) {
  Region title = region(RegionLabel::doc_title, " Tïtle\x01 ", {29.9, 57, 999, 1000});
  title.polygon = {{29, 57.9}, {999, 1000}};
  EXPECT_EQ(write(*sdk_writer(SdkOutput::json), {page({title, picture({0, 0, 10, 10})}), page({})}), R"([
  [
    {
      "index": 0,
      "label": "text",
      "bbox_2d": [
        29,
        57,
        999,
        1000
      ],
      "polygon": [
        [
          29,
          57
        ],
        [
          999,
          1000
        ]
      ],
      "content": "# Tïtle\u0001",
      "native_label": "doc_title"
    },
    {
      "index": 1,
      "label": "image",
      "bbox_2d": [
        0,
        0,
        10,
        10
      ],
      "polygon": [
        [
          0,
          0
        ],
        [
          10,
          0
        ],
        [
          10,
          10
        ],
        [
          0,
          10
        ]
      ],
      "content": null,
      "native_label": "image",
      "image_path": "imgs/cropped_page0_idx0.jpg"
    }
  ],
  []
])");
}

TEST(SdkFormat, ModelJsonHoldsWhatWasRead) {
  Region unread = text("");
  unread.content.reset();
  const std::string json = write(*sdk_writer(SdkOutput::model_json), {page({text("\\theta "), unread})});
  EXPECT_THAT(json, testing::HasSubstr("\"content\": \"\\\\theta\",\n      \"bbox_2d\""));
  EXPECT_THAT(json, testing::HasSubstr("\"content\": null"));
}

TEST(SdkFormat, PagesThatFailedAreNotCounted) {
  DocumentPage failed = page({}, 1);
  failed.error = Error(ErrorCode::input, "broken");
  const std::vector<DocumentPage> pages = {failed, page({picture()}, 2), page({picture(), picture()}, 3)};
  EXPECT_EQ(write(*sdk_writer(SdkOutput::markdown), pages),
            "![Image 0-0](imgs/cropped_page0_idx0.jpg)\n\n![Image 1-1](imgs/cropped_page1_idx1.jpg)\n\n"
            "![Image 1-2](imgs/cropped_page1_idx2.jpg)");
  EXPECT_EQ(write(*sdk_writer(SdkOutput::json), {failed}), "[]");
}

TEST(SdkFormat, NamesOfCrops) {
  SdkFormatter formatter;
  formatter.page(page({picture()}));
  const SdkPage second = formatter.page(page({text("a"), region(RegionLabel::header, "dropped"), picture()}));
  EXPECT_THAT(second.pictures, ElementsAre(AllOf(Field(&PictureFile::region, 2U),
                                                 Field(&PictureFile::name, "cropped_page1_idx1.jpg"))));
  EXPECT_EQ(SdkFormatter(false).page(page({picture(), text("a")})).markdown, "a");
}

TEST(SdkFormat, FormulaNumbers) {
  EXPECT_EQ(sdk_markdown({formula("x"), number("(1)")}), "$$\nx \\tag{1}\n$$");
  EXPECT_EQ(sdk_markdown({number("（2.1）"), formula("x"), number("(3)")}), "$$\nx \\tag{2.1}\n$$");
  EXPECT_EQ(sdk_markdown({number("(1)"), text("a")}), "a");
}

TEST(SdkFormat, DividedWords) {
  EXPECT_EQ(sdk_markdown({text("an exam-"), text("Upper"), text("ple of it")}), "an example of it\n\nUpper");
  EXPECT_EQ(sdk_markdown({text("an exam-"), text("ple, it")}), "an exam-\n\nple, it");
  // Two hyphens find the same rest, as there.
  EXPECT_EQ(sdk_markdown({text("one exam-"), text("Two exam-"), text("ple")}), "one example\n\nTwo example");
}

TEST(SdkFormat, OverlookedBullets) {
  EXPECT_EQ(sdk_markdown({text("- a"), text("b", {105, 0, 9, 9}), text("- c")}), "- a\n\n- b\n\n- c");
  EXPECT_EQ(sdk_markdown({text("- a"), text("b", {111, 0, 9, 9}), text("- c")}), "- a\n\nb\n\n- c");
}

TEST(SdkFormat, FileNames) {
  EXPECT_EQ(sdk_file_name("a:b/c . "), "a_b_c");
  EXPECT_EQ(sdk_file_name(" .."), "result");
  EXPECT_EQ(sdk_file_name("é\n"), "é_");
}

}  // namespace
}  // namespace glmocr::formats
