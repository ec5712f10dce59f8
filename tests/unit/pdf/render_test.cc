// SPDX-License-Identifier: Apache-2.0
// Pages by the renderers that this machine has; the others are skipped.
#include <gmock/gmock.h>

#include <algorithm>
#include <array>

#include "pdf/pdf_file.h"
#include "support/expect_error.h"
#include "support/pdf_renderers.h"
#include "support/pdf_writer.h"
#include "support/temporary_folder.h"

namespace glmocr {
namespace {

using Rgb = std::array<int, 3>;

Rgb pixel(const Image& image, int x, int y) {
  const std::uint8_t* at = &image.rgb[static_cast<std::size_t>(3 * (y * image.width + x))];
  return {at[0], at[1], at[2]};
}

// The share of pixels darker than middle grey in a rectangle.
double ink(const Image& image, int left, int top, int right, int bottom) {
  int dark = 0;
  for (int y = top; y < bottom; ++y) {
    for (int x = left; x < right; ++x) dark += pixel(image, x, y)[1] < 128;
  }
  return dark / double((right - left) * (bottom - top));
}
double ink(const Image& image) { return ink(image, 0, 0, image.width, image.height); }

class Renderers : public testing::TestWithParam<PdfRenderer> {
 protected:
  void SetUp() override {
    if (!has_renderer(GetParam())) GTEST_SKIP() << renderer_name(GetParam()) << " is not on this machine";
    options_.renderer = GetParam();
    options_.dpi = 72;
  }
  PdfFile open(const std::string& content) const {
    return PdfFile::open_bytes(content, "test.pdf", options_);
  }

  PdfOptions options_;
};

TEST_P(Renderers, DrawColoursAndText) {
  const std::string red_square = "1 0 0 rg 0 0 50 50 re f ";
  PdfFile file =
      open(pdf_of({{red_square + "0 g " + pdf_text("Hello", 24, 80, 40)}, {"0 0 1 rg 0 50 200 50 re f"}}));
  EXPECT_EQ(file.renderer_name(), renderer_name(GetParam()));
  EXPECT_EQ(file.page_count(), 2);
  const Image page = file.render(0);
  ASSERT_EQ(page.width, 200);
  ASSERT_EQ(page.height, 100);
  EXPECT_EQ(pixel(page, 25, 75), (Rgb{255, 0, 0}));
  EXPECT_EQ(pixel(page, 25, 25), (Rgb{255, 255, 255}));
  EXPECT_GT(ink(page, 80, 40, 140, 62), 0.1);
  EXPECT_EQ(ink(page, 150, 0, 200, 100), 0);
  const Image second = file.render(1);
  EXPECT_EQ(pixel(second, 100, 25), (Rgb{0, 0, 255}));
  EXPECT_EQ(pixel(second, 100, 75), (Rgb{255, 255, 255}));
}

TEST_P(Renderers, ResolutionAndLongestSide) {
  options_.dpi = 200;
  const std::string content =
      pdf_of({{pdf_text("A"), "0 0 595.28 841.89"}, {pdf_text("B"), "0 0 2384 3370"}});
  PdfFile file = open(content);
  const Image a4 = file.render(0);
  EXPECT_EQ(a4.width, 1654);
  EXPECT_NEAR(a4.height, 2339, 1);
  EXPECT_EQ(file.render(1).height, 3500);
  options_.max_side = 100;
  PdfFile small = open(content);
  EXPECT_EQ(small.render(0).height, 100);
}

TEST_P(Renderers, CropBoxAndRotation) {
  // A black square in the lower left corner of the crop box.
  const std::string square = "0 g 100 100 20 20 re f";
  PdfFile file = open(pdf_of({{square, "0 0 400 400", "/CropBox[100 100 300 200]"},
                              {square, "0 0 400 400", "/CropBox[100 100 300 200]/Rotate 90"}}));
  const Image upright = file.render(0);
  ASSERT_EQ(upright.width, 200);
  ASSERT_EQ(upright.height, 100);
  EXPECT_EQ(ink(upright, 1, 81, 19, 99), 1);
  const Image turned = file.render(1);
  ASSERT_EQ(turned.width, 100);
  ASSERT_EQ(turned.height, 200);
  EXPECT_EQ(ink(turned, 1, 1, 19, 19), 1);
}

// A form field's text is part of what is seen.
TEST_P(Renderers, AnnotationsAndFormFieldsAreSeen) {
  PdfWriter writer;
  const int look = writer.add_stream("/Type/XObject/Subtype/Form/BBox[0 0 100 50]", "0 g 0 0 100 50 re f");
  const int tree = 2, field = 3, stamp = 4, page = 5, content = 6;
  writer.add("<</Type/Pages/Kids[" + reference(page) + "]/Count 1>>");
  writer.add("<</Type/Annot/Subtype/Widget/FT/Tx/T(a)/V(x)/F 4/Rect[0 0 100 50]/AP<</N " + reference(look) +
             ">>>>");
  writer.add("<</Type/Annot/Subtype/Stamp/F 4/Rect[100 50 200 100]/AP<</N " + reference(look) + ">>>>");
  writer.add("<</Type/Page/Parent " + reference(tree) + "/MediaBox[0 0 200 100]/Contents " +
             reference(content) + "/Annots[" + reference(field) + " " + reference(stamp) + "]>>");
  writer.add_stream("", "");
  const int root = writer.add("<</Type/Catalog/Pages " + reference(tree) + "/AcroForm<</Fields[" +
                              reference(field) + "]>>>>");
  const Image image = open(writer.finish(root)).render(0);
  EXPECT_GT(ink(image, 2, 52, 98, 98), 0.95) << "the form field";
  EXPECT_GT(ink(image, 102, 2, 198, 48), 0.95) << "the stamp";
  EXPECT_LT(ink(image), 0.55);
}

// The text comes out in another face, and nothing is opened for it in PDFium's jail.
TEST_P(Renderers, FontsThatAreNotEmbeddedAreReplaced) {
  for (const char* name :
       {"Times-Roman", "Courier-Bold", "ComicSansMS", "Univers-Condensed,Italic", "NoSuchFont"}) {
    PdfWriter writer;
    const int tree = 1, page = 2, content = 3;
    writer.add("<</Type/Pages/Kids[" + reference(page) + "]/Count 1>>");
    writer.add("<</Type/Page/Parent " + reference(tree) + "/MediaBox[0 0 200 100]/Contents " +
               reference(content) + "/Resources<</Font<</F1<</Type/Font/Subtype/TrueType/BaseFont/" +
               std::string(name) + "/Encoding/WinAnsiEncoding>>>>>>>>");
    writer.add_stream("", pdf_text("Text 123", 36));
    const int root = writer.add("<</Type/Catalog/Pages " + reference(tree) + ">>");
    const Image image = open(writer.finish(root)).render(0);
    EXPECT_GT(ink(image), 0.02) << name;
    EXPECT_LT(ink(image), 0.3) << name;
  }
}

TEST_P(Renderers, PasswordsOfUserAndOwner) {
  for (const char* cipher : {"rc4", "aes256"}) {
    const std::string path = std::string(GLMOCR_TEST_DATA) + "/pdf/" + cipher + ".pdf";
    options_.password = "";
    expect_error(ErrorCode::input, {path + ": is a PDF file, and it is encrypted and needs a password"},
                 [&] { PdfFile::open(path, options_); });
    options_.password = "guess";
    expect_error(ErrorCode::input, {path + ": is a PDF file, and the password is wrong"},
                 [&] { PdfFile::open(path, options_); });
    for (const char* password : {"reader", "owner"}) {
      options_.password = password;
      PdfFile file = PdfFile::open(path, options_);
      EXPECT_GT(ink(file.render(0)), 0.02) << cipher << ", " << password;
    }
  }
}

TEST_P(Renderers, AFileThatChangesIsReadAsItIs) {
  const TemporaryFolder folder;
  const std::string path = folder.write("a.pdf", pdf_of({{pdf_text("A")}, {pdf_text("B")}}));
  PdfFile file = PdfFile::open(path, options_);
  std::filesystem::remove(path);  // the descriptor is open
  EXPECT_GT(ink(file.render(0)), 0);
}

INSTANTIATE_TEST_SUITE_P(All, Renderers, testing::Values(PdfRenderer::pdfium, PdfRenderer::poppler),
                         [](const auto& renderer) { return renderer_name(renderer.param); });

}  // namespace
}  // namespace glmocr
