// SPDX-License-Identifier: Apache-2.0
// Searchable PDF files: what their pages look like stays, and their text is found at its place.
#include "pdf/searchable_pdf.h"

#include <gmock/gmock.h>

#include <cmath>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

#include "pdf/glyphless_font.h"
#include "pdf/invisible_text.h"
#include "pdf/pdf_file.h"
#include "pdf/picture_pdf.h"
#include "support/environment_variable.h"
#include "support/expect_error.h"
#include "support/pdf_renderers.h"
#include "support/temporary_folder.h"

namespace glmocr {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

PlacedText placed(const std::string& text, const Box& box) { return {box, text, {}}; }

// Words that share the box out by their letters.
PlacedText line_of(const std::vector<std::string>& words, const Box& box) {
  PlacedText line{box, "", {}};
  double x = box.x0;
  for (const std::string& word : words) {
    const double end = x + (box.x1 - box.x0) / static_cast<double>(words.size()) - 10;
    line.words.push_back(placed(word, {x, box.y0, end, box.y1}));
    line.text += (line.text.empty() ? "" : " ") + word;
    x = end + 10;
  }
  return line;
}

SearchablePage page_of(std::int64_t number, const Image& image, std::vector<PlacedText> lines) {
  SearchablePage page;
  page.number = number;
  page.width = image.width;
  page.height = image.height;
  page.lines = std::move(lines);
  return page;
}

std::string text_of(const std::vector<PlacedText>& lines) {
  std::string text;
  for (const PlacedText& line : lines) text += (text.empty() ? "" : " ") + line.text;
  return text;
}

// White space folded.
std::string folded(const std::string& text) {
  std::istringstream words(text);
  std::string result;
  for (std::string word; words >> word;) result += (result.empty() ? "" : " ") + word;
  return result;
}

// What poppler finds in the file, in its order.
std::string pdftotext(const std::string& file) {
  const TemporaryFolder folder;
  const std::string in = folder.write("a.pdf", file), out = folder / "a.txt";
  if (std::system(("pdftotext -raw '" + in + "' '" + out + "'").c_str()) != 0) return "pdftotext failed";
  std::ifstream stream(out);
  return folded({std::istreambuf_iterator<char>(stream), {}});
}

// ---- The text alone ----

TEST(InvisibleText, CodesAreSharedByLetters) {
  SearchablePage page;
  page.width = page.height = 100;
  page.lines = {placed("aba", {10, 10, 40, 20}), placed("b c", {10, 30, 40, 40})};
  const pdf::InvisibleText text = pdf::invisible_text(page);
  EXPECT_EQ(text.letters, U"ab c");
  EXPECT_THAT(text.content, HasSubstr("3 Tr"));
  EXPECT_THAT(text.content, HasSubstr("<0001000200010003> Tj"));
}

TEST(InvisibleText, WordsThatRunToTheLeftAreReversed) {
  SearchablePage page;
  page.width = page.height = 100;
  page.lines = {placed("\u05D0\u05D1\u05D2", {10, 10, 40, 20})};
  EXPECT_EQ(pdf::invisible_text(page).letters, U"\u05D2\u05D1\u05D0 ");
}

TEST(InvisibleText, ControlCharactersAndBrokenTextAreNoHarm) {
  SearchablePage page;
  page.width = page.height = 100;
  page.lines = {placed("a\x01"
                       "b\xFF",
                       {10, 10, 40, 20}),
                placed(" \n ", {10, 10, 40, 20}),
                placed("", {}),
                {}};
  page.lines[3].words = {placed("", {}), placed("\t", {})};
  EXPECT_EQ(pdf::invisible_text(page).letters, U"ab\uFFFD ");
  const double nan = std::nan("");
  page.lines = {placed("x y", {nan, -1e300, 1e300, nan}), placed("long text here", {50, 50, 50, 50}),
                placed("z", {-50, -50, -40, -40})};
  const std::string content = pdf::invisible_text(page).content;
  EXPECT_THAT(content, Not(HasSubstr("nan")));
  EXPECT_THAT(content, Not(HasSubstr("inf")));
}

TEST(InvisibleText, AParagraphIsBrokenIntoLines) {
  SearchablePage page;
  page.width = page.height = 400;
  std::string words;
  for (int i = 0; i < 40; ++i) words += "letters ";
  page.lines = {placed(words, {10, 100, 390, 220})};
  const std::string content = pdf::invisible_text(page).content;
  std::set<std::string> heights;  // of base lines: the last number before Tm
  std::istringstream rows(content);
  for (std::string row; std::getline(rows, row);) {
    const std::size_t end = row.find(" Tm");
    if (end == std::string::npos) continue;
    heights.insert(row.substr(row.rfind(' ', end - 1), end - row.rfind(' ', end - 1)));
  }
  EXPECT_GE(heights.size(), 3u);
  EXPECT_LE(heights.size(), 8u);
}

TEST(InvisibleText, PlacesGoBackToThePictureBeforeItWasTurned) {
  SearchablePage page;
  page.width = 200;  // after it was turned
  page.height = 100;
  const auto at = [&](double x, double y) {  // from the upper left
    const auto [a, b, c, d, e, f] = pdf::to_unturned_picture(page);
    const double up = page.height - y;
    return std::pair(std::round(a * x + c * up + e), std::round(b * x + d * up + f));
  };
  EXPECT_EQ(at(10, 20), std::pair(10.0, 20.0));
  page.rotation = 90;  // what is at the upper left was at the lower left
  EXPECT_EQ(at(0, 0), std::pair(0.0, 200.0));
  EXPECT_EQ(at(10, 20), std::pair(20.0, 190.0));
  EXPECT_EQ(pdf::unturned_size(page).width, 100);
  page.rotation = 180;
  EXPECT_EQ(at(10, 20), std::pair(190.0, 80.0));
  page.rotation = 270;
  EXPECT_EQ(at(10, 20), std::pair(80.0, 10.0));
  page.rotation = 0;
  page.skew = 90;  // clockwise about (100, 50)
  EXPECT_EQ(at(110, 50), std::pair(100.0, 60.0));
}

TEST(InvisibleText, PagesThatCannotBeAreRefused) {
  SearchablePage page;
  page.width = page.height = 10;
  EXPECT_NO_THROW(pdf::check(page));
  for (const auto& spoil : std::vector<std::function<void(SearchablePage&)>>{
           [](SearchablePage& p) { p.number = 0; }, [](SearchablePage& p) { p.width = 0; },
           [](SearchablePage& p) { p.height = -5; }, [](SearchablePage& p) { p.rotation = 45; },
           [](SearchablePage& p) { p.rotation = 360; }, [](SearchablePage& p) { p.skew = std::nan(""); }}) {
    SearchablePage bad = page;
    spoil(bad);
    expect_error(ErrorCode::usage, {"a searchable page has"}, [&] { pdf::check(bad); });
  }
}

// Sum of all words of the file, as the specification asks of it.
TEST(GlyphlessFont, ItsTablesAreWhereItSays) {
  const std::string font = pdf::glyphless_font_file();
  const auto u32 = [&](std::size_t at) {
    std::uint32_t value = 0;
    for (std::size_t i = 0; i < 4; ++i) value = value << 8 | static_cast<unsigned char>(font.at(at + i));
    return value;
  };
  EXPECT_LT(font.size(), 800u);
  const std::size_t count = u32(4) >> 16;
  EXPECT_EQ(count, 8u);
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t entry = 12 + 16 * i, place = u32(entry + 8), size = u32(entry + 12);
    ASSERT_LE(place + size, font.size()) << font.substr(entry, 4);
    EXPECT_EQ(place % 4, 0u);
    std::uint32_t sum = 0;
    for (std::size_t at = 0; at < size; at += 4) sum += u32(place + at);
    EXPECT_EQ(sum, u32(entry + 4)) << font.substr(entry, 4);
  }
}

// ---- Over the pages of PDF files ----

class RealFiles : public testing::Test {
 protected:
  void SetUp() override {
    if (!has_renderer(PdfRenderer::pdfium)) GTEST_SKIP() << "PDFium is not on this machine";
    options_.dpi = 100;
    options_.renderer = PdfRenderer::pdfium;
  }

  PdfFile open(const std::string& file, PdfRenderer renderer = PdfRenderer::pdfium) {
    PdfOptions options = options_;
    options.renderer = renderer;
    return PdfFile::open_bytes(file, "file.pdf", options);
  }

  // The file with these lines over its first page.
  std::string with_text(const std::string& file, const std::vector<PlacedText>& lines) {
    PdfFile opened = open(file);
    std::string result;
    const auto writer = opened.searchable([&](std::string_view bytes) { result += bytes; });
    writer->add(page_of(1, opened.render(0), lines));
    EXPECT_THAT(writer->finish(), IsEmpty());
    return result;
  }

  void expect_same_look(const std::string& before, const std::string& after, const std::string& which) {
    for (const PdfRenderer renderer : {PdfRenderer::pdfium, PdfRenderer::poppler}) {
      if (!has_renderer(renderer)) continue;
      PdfFile one = open(before, renderer), other = open(after, renderer);
      ASSERT_EQ(one.page_count(), other.page_count()) << which;
      for (std::int64_t page = 0; page < one.page_count(); ++page) {
        EXPECT_EQ(one.render(page).rgb, other.render(page).rgb) << which << ", " << renderer_name(renderer);
      }
    }
  }

  PdfOptions options_;
};

const std::vector<PlacedText> kLines = {
    line_of({"Grüße", "naïve"}, {20, 20, 200, 40}), line_of({"Привет", "Ελλάδα"}, {20, 50, 240, 70}),
    line_of({"漢字かな", "𝔸𝕓"}, {20, 80, 200, 100}), placed("A line of several words", {20, 105, 250, 120})};

TEST_F(RealFiles, TextIsFoundAtItsPlaceAndNothingLooksDifferent) {
  const PdfPage plain{"0 0 1 rg 20 20 50 30 re f", "0 0 200 200", ""};
  std::vector<std::pair<std::string, std::string>> files = {{"plain", pdf_of({plain})}};
  for (const char* keys : {"/Rotate 90", "/Rotate 180", "/Rotate 270", "/CropBox[-5 5 190 195]",
                           "/UserUnit 2", "/CropBox[10 0 200 190]/Rotate 90"}) {
    PdfPage page = plain;
    page.keys = keys;
    files.emplace_back(keys, pdf_of({page, plain}));
  }
  files.emplace_back(
      "state is left over",
      pdf_of({{"q 3 0 0 3 5 5 cm 1 0 0 RG 10 10 m 30 30 l S 0 0 5 5 re W n 50 Tz 9 Tc", "0 0 200 200", ""}}));
  files.emplace_back("nothing is closed", pdf_of({{"0 0 20 20 re f q 1 2 BT /F1 12 Tf", "0 0 200 200", ""}}));
  for (const auto& [name, file] : files) {
    SCOPED_TRACE(name);
    const std::string result = with_text(file, kLines);
    expect_same_look(file, result, name);
    if (has_renderer(PdfRenderer::poppler)) {
      EXPECT_EQ(pdftotext(result), text_of(kLines));
    }
    PdfFile opened = open(result);
    const TextLayer layer = opened.text_layer(0).value();
    EXPECT_EQ(text_of(layer.lines), text_of(kLines));
    EXPECT_EQ(layer.quality.invisible, layer.quality.characters);
    EXPECT_EQ(layer.quality.unmapped, 0);
    ASSERT_EQ(layer.lines.size(), kLines.size());
    for (std::size_t i = 0; i < kLines.size(); ++i) {
      EXPECT_NEAR(layer.lines[i].box.x0, kLines[i].box.x0, 2) << kLines[i].text;
      EXPECT_NEAR(layer.lines[i].box.x1,
                  kLines[i].words.empty() ? kLines[i].box.x1 : kLines[i].words.back().box.x1, 4);
      EXPECT_NEAR(layer.lines[i].box.y0, kLines[i].box.y0, 1);
      EXPECT_NEAR(layer.lines[i].box.y1, kLines[i].box.y1, 1);
    }
  }
}

TEST_F(RealFiles, OtherPagesAndTheirTextStayAsTheyAre) {
  const std::string file = pdf_of({{pdf_text("First")}, {pdf_text("Second")}, {pdf_text("Third")}});
  PdfFile opened = open(file);
  std::string result;
  const auto writer = opened.searchable([&](std::string_view bytes) { result += bytes; });
  writer->add(page_of(1, opened.render(0), {placed("Eins", {10, 10, 60, 20})}));
  writer->add(page_of(2, opened.render(1), {}));
  writer->add(page_of(3, opened.render(2), {placed("Drei", {10, 10, 60, 20})}));
  EXPECT_THAT(writer->finish(), IsEmpty());
  expect_same_look(file, result, "three pages");
  PdfFile written = open(result);
  EXPECT_EQ(text_of(written.text_layer(0)->lines), "First Eins");
  EXPECT_EQ(text_of(written.text_layer(1)->lines), "Second");
  EXPECT_EQ(text_of(written.text_layer(2)->lines), "Third Drei");
}

TEST_F(RealFiles, EncryptedFilesStayEncrypted) {
  for (const char* cipher : {"rc4", "aes256"}) {
    const std::string path = std::string(GLMOCR_TEST_DATA) + "/pdf/" + cipher + ".pdf";
    options_.password = "reader";
    PdfFile file = PdfFile::open(path, options_);
    std::string result;
    const auto writer = file.searchable([&](std::string_view bytes) { result += bytes; });
    writer->add(page_of(1, file.render(0), kLines));
    EXPECT_THAT(writer->finish(), IsEmpty());
    PdfFile written = open(result);
    EXPECT_THAT(text_of(written.text_layer(0)->lines), HasSubstr(text_of(kLines)));
    EXPECT_EQ(written.render(0).rgb, file.render(0).rgb);
    options_.password = "";
    expect_error(ErrorCode::input, {"it is encrypted and needs a password"}, [&] { open(result); });
  }
}

TEST_F(RealFiles, TextOfATurnedPicture) {
  const std::string file = pdf_of({{"", "0 0 200 100", ""}});
  PdfFile opened = open(file);
  std::string result;
  const auto writer = opened.searchable([&](std::string_view bytes) { result += bytes; });
  const Image image = opened.render(0);
  SearchablePage page = page_of(1, image, {placed("Turned", {20, 30, 90, 50})});
  std::swap(page.width, page.height);
  page.rotation = 90;
  writer->add(page);
  writer->finish();
  PdfFile written = open(result);
  const Box box = written.text_layer(0)->lines.at(0).box;
  EXPECT_EQ(text_of(written.text_layer(0)->lines), "Turned");
  EXPECT_NEAR(box.x0, 30, 1);
  EXPECT_NEAR(box.x1, 50, 1);
  EXPECT_NEAR(box.y0, image.height - 90, 3);
  EXPECT_NEAR(box.y1, image.height - 20, 3);
}

TEST_F(RealFiles, FilesWithoutNewTextAreCopied) {
  const std::string file = pdf_of({{pdf_text("First")}});
  std::string result;
  const auto writer = open(file).searchable([&](std::string_view bytes) { result += bytes; });
  writer->add(page_of(1, {200, 100, {}}, {}));
  EXPECT_THAT(writer->finish(), IsEmpty());
  EXPECT_EQ(result, file);
}

TEST(PopplersFiles, CannotBeWritten) {
  if (!has_renderer(PdfRenderer::poppler)) GTEST_SKIP() << "poppler is not on this machine";
  PdfOptions options;
  options.renderer = PdfRenderer::poppler;
  PdfFile file = PdfFile::open_bytes(pdf_of({{""}}), "file.pdf", options);
  expect_error(ErrorCode::device, {"file.pdf: searchable PDF files need PDFium"},
               [&] { file.searchable({}); });
}

// ---- With a worker that fails ----

class FakeFiles : public testing::Test {
 protected:
  // Adds a text to every page.
  std::string write(const std::string& pages, std::vector<std::string>& problems) {
    PdfOptions options;
    options.dpi = 72;
    options.max_side = 100;
    PdfFile file = PdfFile::open_bytes("%PDF\n" + pages, "fake.pdf", options);
    std::string result;
    const auto writer = file.searchable([&](std::string_view bytes) { result += bytes; });
    for (std::int64_t page = 1; page <= file.page_count(); ++page) {
      writer->add(page_of(page, {100, 100, {}}, {placed("x", {1, 1, 9, 9})}));
    }
    problems = writer->finish();
    return result;
  }

  EnvironmentVariable library_{"GLMOCR_PDFIUM", GLMOCR_FAKE_PDFIUM};
  std::vector<std::string> problems_;
};

TEST_F(FakeFiles, EveryPageGetsItsText) {
  EXPECT_EQ(write("10 10 say a\n10 10 say b\n", problems_), "0 1\n1 1\n");
  EXPECT_THAT(problems_, IsEmpty());
}

TEST_F(FakeFiles, APageThatFailsIsToldAndTheOthersAreWritten) {
  EXPECT_EQ(write("10 10 say a\n10 10 add-crash\n10 10 say c\n10 10 add-fail\n10 10 add-crash\n10 10 say\n",
                  problems_),
            "0 1\n1 0\n2 1\n3 1\n4 0\n5 1\n");
  EXPECT_THAT(problems_, ElementsAre(HasSubstr("fake.pdf: page 2: the renderer ended by signal"),
                                     HasSubstr("fake.pdf: page 5: the renderer ended by signal"),
                                     HasSubstr("fake.pdf: page 4: text cannot be put over the page")));
}

TEST_F(FakeFiles, ADocumentOfWhichTooManyPagesFailIsGivenUp) {
  std::string pages;
  for (int i = 0; i < 20; ++i) pages += "10 10 add-crash\n";
  expect_error(ErrorCode::input,
               {"fake.pdf: cannot be made searchable: fake.pdf: page 11: the renderer ended"},
               [&] { write(pages, problems_); });
}

// More than the shared memory holds.
TEST_F(FakeFiles, LargeFilesComeInPieces) {
  constexpr std::size_t kSize = 100'000'000;
  const std::string result = write("10 10 save " + std::to_string(kSize) + "\n10 10 say\n", problems_);
  ASSERT_EQ(result.size(), kSize + 8);
  EXPECT_EQ(result.substr(0, 4), "0 1\n");
  EXPECT_EQ(result.substr(result.size() - 4), "1 1\n");
  for (std::size_t i = 0; i < kSize; i += 9999)
    ASSERT_EQ(static_cast<unsigned char>(result[i + 4]), i & 0xFF) << i;
}

TEST_F(FakeFiles, AFileThatCannotBeWritten) {
  expect_error(ErrorCode::input, {"fake.pdf: cannot be written: the renderer ended by signal"},
               [&] { write("10 10 save-crash\n", problems_); });
  expect_error(ErrorCode::input, {"fake.pdf: it cannot be written"},
               [&] { write("10 10 save-fail\n", problems_); });
}

TEST_F(FakeFiles, PagesThatDoNotExist) {
  PdfFile file = PdfFile::open_bytes("%PDF\n10 10 say\n", "fake.pdf", {});
  const auto writer = file.searchable([](std::string_view) {});
  expect_error(ErrorCode::input, {"fake.pdf: page 2: the page does not exist"}, [&] {
    writer->add(page_of(2, {100, 100, {}}, {}));
  });
}

TEST_F(FakeFiles, WhatTheSinkThrowsIsPassedOn) {
  PdfFile file = PdfFile::open_bytes("%PDF\n10 10 say\n", "fake.pdf", {});
  const auto writer =
      file.searchable([](std::string_view) { throw Error(ErrorCode::input, "the disk is full"); });
  writer->add(page_of(1, {100, 100, {}}, {placed("x", {1, 1, 9, 9})}));
  expect_error(ErrorCode::input, {"the disk is full"}, [&] { writer->finish(); });
}

// ---- Pictures as pages ----

// A picture with something everywhere; grey or coloured.
Image pattern(int width, int height, bool grey) {
  Image image{width, height, {}};
  for (int i = 0; i < width * height; ++i) {
    for (int k = 0; k < 3; ++k)
      image.rgb.push_back(static_cast<std::uint8_t>(i * 7 + (i / width) * 31 + (grey ? 0 : k * 80)));
  }
  return image;
}

std::string picture_pdf(const std::vector<std::pair<Image, SearchablePage>>& pages, double dpi = 100) {
  std::string result;
  PicturePdf pdf([&](std::string_view bytes) { result += bytes; }, dpi, "scan.tif");
  for (const auto& [image, page] : pages) pdf.add(image, page);
  pdf.finish();
  return result;
}

class PicturePages : public RealFiles {};

TEST_F(PicturePages, HoldThePixelsAndTheText) {
  const Image colour = pattern(260, 130, false), grey = pattern(120, 301, true);
  const std::string file = picture_pdf({{colour, page_of(1, colour, kLines)}, {grey, page_of(2, grey, {})}});
  PdfFile opened = open(file);
  ASSERT_EQ(opened.page_count(), 2);
  EXPECT_EQ(opened.render(0).rgb, colour.rgb);
  EXPECT_EQ(opened.render(1).rgb, grey.rgb);
  EXPECT_EQ(text_of(opened.text_layer(0)->lines), text_of(kLines));
  if (has_renderer(PdfRenderer::poppler)) {
    EXPECT_EQ(pdftotext(file), text_of(kLines));
    EXPECT_EQ(open(file, PdfRenderer::poppler).render(0).rgb, colour.rgb);
  }
}

TEST_F(PicturePages, TextOfAPictureThatWasTurned) {
  const Image image = pattern(300, 200, true);
  SearchablePage page = page_of(1, image, {placed("Upside-down", {20, 30, 120, 50})});
  page.rotation = 180;
  page.skew = 2;
  PdfFile opened = open(picture_pdf({{image, page}}));
  const Box box = opened.text_layer(0)->lines.at(0).box;
  EXPECT_EQ(text_of(opened.text_layer(0)->lines), "Upside-down");
  EXPECT_NEAR((box.x0 + box.x1) / 2, 300 - 70, 8);
  EXPECT_NEAR((box.y0 + box.y1) / 2, 200 - 40, 8);
}

TEST_F(PicturePages, HugePicturesGetASmallerScale) {
  const Image image = pattern(2500, 2, true);
  PdfFile opened = open(picture_pdf({{image, page_of(1, image, {})}}, 10));
  EXPECT_EQ(opened.render(0).width, 3500) << "of 14,400 points, at the limit of renders";
}

TEST(PicturePdf, SizesMustAgree) {
  const Image image = pattern(20, 10, true);
  PicturePdf pdf([](std::string_view) {}, 100, "scan.tif");
  SearchablePage page = page_of(3, image, {});
  page.width = 21;
  expect_error(ErrorCode::input,
               {"scan.tif: page 3: the picture is 20 x 10 pixels, the page that was read 21 x 10"},
               [&] { pdf.add(image, page); });
}

TEST(PicturePdf, JpegFilesOfOtherKindsAreNotTaken) {
  const auto jpeg = [](const std::string& frame) {
    return std::string("\xFF\xD8\xFF\xE0\x00\x04zz", 8) + frame + std::string(20, '\0');
  };
  const auto frame = [](char marker, char bits, char components) {
    return std::string("\xFF", 1) + marker + std::string("\x00\x0B", 2) + bits +
           std::string("\x00\x10\x00\x20", 4) + components;
  };
  EXPECT_TRUE(PicturePdf::takes_jpeg(jpeg(frame('\xC0', 8, 3))));
  EXPECT_TRUE(PicturePdf::takes_jpeg(jpeg(frame('\xC2', 8, 1)))) << "progressive";
  EXPECT_FALSE(PicturePdf::takes_jpeg(jpeg(frame('\xC0', 8, 4)))) << "CMYK";
  EXPECT_FALSE(PicturePdf::takes_jpeg(jpeg(frame('\xC1', 12, 1)))) << "12 bits";
  EXPECT_FALSE(PicturePdf::takes_jpeg(jpeg(frame('\xC9', 8, 3)))) << "arithmetic coding";
  EXPECT_FALSE(PicturePdf::takes_jpeg(jpeg("\xFF\xDA")));
  EXPECT_FALSE(PicturePdf::takes_jpeg(""));
  EXPECT_FALSE(PicturePdf::takes_jpeg("\xFF\xD8\xFF\xFF\xFF"));
}

}  // namespace
}  // namespace glmocr
