// SPDX-License-Identifier: Apache-2.0
// Documents of every kind as searchable PDF files, and their own text.
#include <gmock/gmock.h>

#include <fstream>
#include <iterator>

#include "document/document.h"
#include "support/environment_variable.h"
#include "support/expect_error.h"
#include "support/pdf_renderers.h"
#include "support/temporary_folder.h"
#include "support/tiff_writer.h"
#include "unit/document/test_inputs.h"

namespace glmocr {
namespace {

using testing::HasSubstr;
using testing::Not;

std::string content_of(const std::string& file) {
  std::ifstream stream(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

class SearchableDocuments : public testing::Test {
 protected:
  SearchableDocuments() { options_.pdf.dpi = 100; }

  // With a word on each page.
  std::string searchable(const std::string& file) {
    const std::shared_ptr<Document> document = open_document(file, options_);
    std::string result;
    const std::unique_ptr<SearchableWriter> writer =
        document->searchable([&](std::string_view bytes) { result += bytes; });
    for (std::int64_t number = 1; number <= document->page_count(); ++number) {
      const Image image = document->decode(number, {}).image;
      SearchablePage page;
      page.number = number;
      page.width = image.width;
      page.height = image.height;
      page.lines = {{{5, 5, image.width - 5.0, 25}, "Page" + std::to_string(number), {}}};
      writer->add(page);
    }
    EXPECT_TRUE(writer->finish().empty());
    return result;
  }

  // The pages look as those of the file do, and hold the words.
  void expect_pages(const std::string& file, const std::string& pdf, int tolerance = 0) {
    if (!has_renderer(PdfRenderer::pdfium)) GTEST_SKIP() << "PDFium is not on this machine";
    const std::shared_ptr<Document> before = open_document(file, options_);
    PdfFile after = PdfFile::open_bytes(pdf, "out.pdf", options_.pdf);
    ASSERT_EQ(after.page_count(), before->page_count());
    for (std::int64_t page = 0; page < after.page_count(); ++page) {
      const Image one = before->decode(page + 1, {}).image, other = after.render(page);
      ASSERT_EQ(one.rgb.size(), other.rgb.size()) << file;
      int most = 0;
      for (std::size_t i = 0; i < one.rgb.size(); ++i)
        most = std::max(most, std::abs(one.rgb[i] - other.rgb[i]));
      EXPECT_LE(most, tolerance) << file;
      EXPECT_EQ(after.text_layer(page)->lines.at(0).text, "Page" + std::to_string(page + 1));
    }
  }

  DocumentOptions options_;
  TemporaryFolder folder_;
};

TEST_F(SearchableDocuments, OfPictures) {
  for (const char* name : {"word_56x56.png", "rgb.bmp", "grey_16.png", "lossless.webp", "cmyk.jpg"}) {
    const std::string pdf = searchable(picture(name));
    EXPECT_THAT(pdf, Not(HasSubstr("DCTDecode"))) << name;
    expect_pages(picture(name), pdf);
  }
}

TEST_F(SearchableDocuments, OfJpegFilesThatArePassedOn) {
  for (const char* name : {"420.jpg", "grey.jpg", "progressive.jpg", "orientation_1.jpg"}) {
    const std::string pdf = searchable(picture(name));
    EXPECT_NE(pdf.find(content_of(picture(name))), std::string::npos) << name;
    expect_pages(picture(name), pdf, 8);  // decoders round differently
  }
}

TEST_F(SearchableDocuments, OfJpegFilesThatAreToBeTurned) {
  for (const char* name : {"orientation_2.jpg", "orientation_6.jpg", "orientation_8.jpg"}) {
    const std::string pdf = searchable(picture(name));
    EXPECT_THAT(pdf, Not(HasSubstr("DCTDecode"))) << name;
    expect_pages(picture(name), pdf);
  }
}

TEST_F(SearchableDocuments, OfTiffFilesWithPages) {
  const std::string file = folder_.write("a.tiff", tiff_of({{80, 40, 10}, {60, 90, 250}}));
  expect_pages(file, searchable(file));
}

TEST_F(SearchableDocuments, OfPdfFiles) {
  if (!has_renderer(PdfRenderer::pdfium)) GTEST_SKIP() << "PDFium is not on this machine";
  const std::string file = folder_.write("a.pdf", pdf_of({{"0 0 20 20 re f"}, {"30 30 20 20 re f"}}));
  expect_pages(file, searchable(file));
}

TEST_F(SearchableDocuments, NameTheFileInErrors) {
  const std::string file = picture("word_56x56.png");
  const auto writer = open_document(file, options_)->searchable([](std::string_view) {});
  expect_error(
      ErrorCode::input, {file + ": page 1: the picture is 56 x 56 pixels, the page that was read 10 x 10"},
      [&] { writer->add({.number = 1, .width = 10, .height = 10, .rotation = 0, .skew = 0, .lines = {}}); });
}

TEST_F(SearchableDocuments, OwnTextIsKnownOfPdfFilesAlone) {
  EXPECT_EQ(open_document(picture("word_56x56.png"), options_)->text_layer(1), std::nullopt);
  if (std::string(GLMOCR_FAKE_PDFIUM).empty()) GTEST_SKIP() << "PDF files cannot be read on this system";
  const EnvironmentVariable library("GLMOCR_PDFIUM", GLMOCR_FAKE_PDFIUM);
  const std::string file = folder_.write("a.pdf", "%PDF-\n200 100 letters first\n200 100 letters second\n");
  const std::shared_ptr<Document> document = open_document(file, options_);
  EXPECT_EQ(document->text_layer(2)->lines.at(0).text, "second");
  EXPECT_EQ(document->text_layer(1)->lines.at(0).text, "first");
  expect_error(ErrorCode::input, {file + ": page 3: the page does not exist"},
               [&] { document->text_layer(3); });
}

}  // namespace
}  // namespace glmocr
