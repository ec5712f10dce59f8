// SPDX-License-Identifier: Apache-2.0
// The text of pages: from characters to lines, and whether it can be trusted.
#include "pdf/text_layer.h"

#include <gmock/gmock.h>

#include <cmath>
#include <limits>

#include "pdf/pdf_file.h"
#include "pdf/text_lines.h"
#include "support/environment_variable.h"
#include "support/expect_error.h"
#include "support/pdf_renderers.h"

namespace glmocr {
namespace {

using pdf::Character;
using testing::ElementsAre;
using testing::IsEmpty;

// Letters of 10 pixels, one after the other from (x, y), the left end of their base line.
class Typesetter {
 public:
  Typesetter& put(const std::u32string& text, double x, double y, double size = 10) {
    for (const char32_t c : text) {
      Character character;
      character.code_point = c;
      character.x0 = static_cast<float>(x);
      character.x1 = static_cast<float>(x + size * 0.9);
      character.y0 = static_cast<float>(y - size);
      character.y1 = character.origin_y = static_cast<float>(y);
      character.origin_x = character.x0;
      character.size = static_cast<float>(size);
      x += size;
      characters.push_back(character);
    }
    return *this;
  }
  // A space that the renderer supposes.
  Typesetter& supposed_space() {
    Character space;
    space.code_point = ' ';
    space.flags = Character::kGenerated;
    characters.push_back(space);
    return *this;
  }
  TextLayer layer() const { return pdf::group_characters(characters, 1000, 500); }

  std::vector<Character> characters;
};

std::vector<std::string> texts(const std::vector<PlacedText>& parts) {
  std::vector<std::string> result;
  for (const PlacedText& part : parts) result.push_back(part.text);
  return result;
}

std::vector<std::string> lines_of(const Typesetter& typesetter) { return texts(typesetter.layer().lines); }

TEST(TextLines, WordsHaveTheBoxesOfTheirLetters) {
  const TextLayer layer = Typesetter().put(U"Two words", 100, 50).layer();
  ASSERT_EQ(layer.lines.size(), 1u);
  const PlacedText& line = layer.lines[0];
  EXPECT_EQ(line.text, "Two words");
  EXPECT_THAT(texts(line.words), ElementsAre("Two", "words"));
  EXPECT_FLOAT_EQ(line.words[1].box.x0, 140);
  EXPECT_FLOAT_EQ(line.words[1].box.x1, 189);
  EXPECT_FLOAT_EQ(line.box.x0, 100);
  EXPECT_FLOAT_EQ(line.box.y0, 40);
  EXPECT_FLOAT_EQ(line.box.y1, 50);
  EXPECT_EQ(layer.quality.characters, 8);
  EXPECT_EQ(layer.width, 1000);
}

TEST(TextLines, ALineEndsWhereTheFileGoesOnElsewhere) {
  EXPECT_THAT(lines_of(Typesetter().put(U"one", 10, 50).put(U"below", 10, 62)), ElementsAre("one", "below"));
  EXPECT_THAT(lines_of(Typesetter().put(U"left", 10, 50).put(U"column", 80, 50)),
              ElementsAre("left", "column"));
  EXPECT_THAT(lines_of(Typesetter().put(U"right", 300, 50).put(U"before", 10, 50)),
              ElementsAre("right", "before"));
  EXPECT_THAT(lines_of(Typesetter().put(U"near", 10, 50).put(U" by", 55, 50)), ElementsAre("near by"));
}

TEST(TextLines, IndicesAndExponentsStayWithTheirLetters) {
  const Typesetter exponent =
      Typesetter().put(U"x", 10, 50).supposed_space().put(U"2", 19.5, 46, 7).put(U"+1", 28, 50);
  EXPECT_THAT(lines_of(exponent), ElementsAre("x2+1"));
  const Typesetter index = Typesetter().put(U"a", 10, 50).put(U"ij", 20, 53, 7).put(U"=", 36, 50);
  EXPECT_THAT(lines_of(index), ElementsAre("aij="));
}

TEST(TextLines, ASupposedSpaceNeedsAGap) {
  EXPECT_THAT(lines_of(Typesetter().put(U"ab", 10, 50).supposed_space().put(U"cd", 35, 50)),
              ElementsAre("ab cd"));
  EXPECT_THAT(lines_of(Typesetter().put(U"ab", 10, 50).supposed_space().put(U"cd", 30, 50)),
              ElementsAre("abcd"));
}

TEST(TextLines, TextInFourDirections) {
  for (const int direction : {0, 1, 2, 3}) {
    Typesetter turned;
    const Typesetter upright = Typesetter().put(U"ab cd", 10, 50).put(U"e", 10, 70);
    for (Character c : upright.characters) {
      // About (100, 100).
      const auto turn = [&](float& x, float& y) {
        for (int i = 0; i < direction; ++i) std::tie(x, y) = std::pair(200 - y, x);
      };
      turn(c.x0, c.y0);
      turn(c.x1, c.y1);
      turn(c.origin_x, c.origin_y);
      if (c.x0 > c.x1) std::swap(c.x0, c.x1);
      if (c.y0 > c.y1) std::swap(c.y0, c.y1);
      c.direction = static_cast<std::uint16_t>(direction);
      turned.characters.push_back(c);
    }
    EXPECT_THAT(lines_of(turned), ElementsAre("ab cd", "e")) << direction;
  }
}

// PDFium gives such letters in the order in which they are read: to the left.
TEST(TextLines, WordsThatRunToTheLeft) {
  Typesetter hebrew;
  int x = 200;
  for (const char32_t c : U"\u05E9\u05DC\u05D5\u05DD \u05E2\u05D5") {
    if (c != 0) hebrew.put({c}, x -= 10, 50);
  }
  EXPECT_THAT(lines_of(hebrew), ElementsAre("\u05E9\u05DC\u05D5\u05DD \u05E2\u05D5"));
}

TEST(TextLines, LettersOfAllPlanes) {
  EXPECT_THAT(lines_of(Typesetter().put(U"a\u00E4\u6F22\U0001D538", 10, 50)),
              ElementsAre("a\u00E4\u6F22\U0001D538"));
}

// As PDFium gives them.
TEST(TextLines, PairsOfUtf16) {
  Typesetter pair;
  pair.put(U"ab", 10, 50);
  pair.characters[0].code_point = 0xD835;
  pair.characters[1].code_point = 0xDD38;
  EXPECT_THAT(lines_of(pair), ElementsAre("\U0001D538"));
  std::swap(pair.characters[0].code_point, pair.characters[1].code_point);
  EXPECT_THAT(lines_of(pair), ElementsAre("\uFFFD\uFFFD"));
}

TEST(TextLines, NumbersThatCannotBe) {
  const float nan = std::numeric_limits<float>::quiet_NaN(),
              infinity = std::numeric_limits<float>::infinity();
  const auto spoilt = [](auto spoil) {
    Typesetter typesetter;
    typesetter.put(U"x", 100, 100);
    spoil(typesetter.characters[0]);
    return lines_of(typesetter);
  };
  EXPECT_THAT(spoilt([&](Character& c) { c.x0 = nan; }), IsEmpty());
  EXPECT_THAT(spoilt([&](Character& c) { c.y1 = infinity; }), IsEmpty());
  EXPECT_THAT(spoilt([&](Character& c) { c.size = nan; }), IsEmpty());
  EXPECT_THAT(spoilt([&](Character& c) { c.origin_x = -infinity; }), IsEmpty());
  EXPECT_THAT(spoilt([&](Character& c) { c.x0 = 120; }), IsEmpty()) << "no width";
  EXPECT_THAT(spoilt([&](Character& c) { c.direction = 4; }), IsEmpty());
  EXPECT_THAT(spoilt([&](Character& c) { c.x0 = c.x1 = 1001; }), IsEmpty()) << "beside the page";
  EXPECT_THAT(spoilt([&](Character& c) { c.code_point = 0xFFFFFFFF; }), ElementsAre("\uFFFD"));
  EXPECT_THAT(spoilt([&](Character& c) { c.code_point = 0xD800; }), ElementsAre("\uFFFD"));
  EXPECT_THAT(spoilt([&](Character& c) { c.code_point = 0; }), ElementsAre("\uFFFD"));
  EXPECT_THAT(spoilt([&](Character& c) { c.x0 = -1e30F, c.x1 = 1e30F; }), ElementsAre("x"));
}

TEST(TextLines, BoxesStayOnThePage) {
  const TextLayer layer = Typesetter().put(U"x", 995, 500, 20).put(U"y", 995, 20, 20).layer();
  for (const PlacedText& line : layer.lines) {
    EXPECT_LE(line.box.x1, 1000);
    EXPECT_GE(line.box.y0, 0);
  }
}

TEST(TextLines, WhatIsCounted) {
  Typesetter typesetter;
  typesetter.put(U"Ta \uE000\uFFFD\u0001\u0085ok", 10, 50);
  typesetter.characters[0].flags = Character::kInvisible | Character::kUnmapped;
  const TextQuality quality = typesetter.layer().quality;
  EXPECT_EQ(quality.characters, 7);
  EXPECT_EQ(quality.unprintable, 3);
  EXPECT_EQ(quality.invisible, 1);
  EXPECT_EQ(quality.unmapped, 1);
  EXPECT_EQ(quality.height_pairs, 2) << "Ta, ok";
  EXPECT_EQ(quality.wrong_heights, 2) << "all letters are 10 pixels tall";
}

// A page of 200 x 100 points at 144 dpi.
class RealText : public testing::Test {
 protected:
  void SetUp() override {
    if (!has_renderer(PdfRenderer::pdfium)) GTEST_SKIP() << "PDFium is not on this machine";
    options_.dpi = 144;
    options_.renderer = PdfRenderer::pdfium;
  }
  PdfFile open(const PdfPage& page) { return PdfFile::open_bytes(pdf_of({page}), "file.pdf", options_); }
  TextLayer layer(const PdfPage& page) { return open(page).text_layer(0).value(); }
  bool agrees(const std::string& file) {
    PdfFile opened = PdfFile::open_bytes(file, "file.pdf", options_);
    return text_layer_agrees(*opened.text_layer(0), opened.render(0));
  }
  bool agrees(const PdfPage& page) { return agrees(pdf_of({page})); }

  PdfOptions options_;
};

// The smallest box around what is dark.
Box box_of_ink(const Image& image) {
  Box box{1e9, 1e9, 0, 0};
  for (int y = 0; y < image.height; ++y) {
    for (int x = 0; x < image.width; ++x) {
      if (image.rgb[3 * (static_cast<std::size_t>(y) * static_cast<std::size_t>(image.width) +
                         static_cast<std::size_t>(x))] > 128)
        continue;
      box = {std::min<double>(box.x0, x), std::min<double>(box.y0, y), std::max<double>(box.x1, x + 1),
             std::max<double>(box.y1, y + 1)};
    }
  }
  return box;
}

TEST_F(RealText, BoxesLieWhereLettersAreDrawn) {
  const PdfPage plain{pdf_text("Hxg word")};
  PdfPage turned = plain, cropped = plain, unit = plain, moved = plain;
  cropped.keys = "/CropBox[5 20 150 90]";
  moved.box = "-30 -20 200 100";
  unit.keys = "/UserUnit 2";
  std::vector<PdfPage> pages = {plain, cropped, moved, unit};
  for (const char* angle : {"90", "180", "270"}) {
    turned.keys = std::string("/Rotate ") + angle;
    pages.push_back(turned);
    pages.push_back(cropped);
    pages.back().keys += turned.keys;
  }
  for (const PdfPage& page : pages) {
    PdfFile file = open(page);
    const Image image = file.render(0);
    const TextLayer found = file.text_layer(0).value();
    EXPECT_EQ(found.width, image.width);
    EXPECT_EQ(found.height, image.height);
    ASSERT_EQ(found.lines.size(), 1u) << page.keys;
    EXPECT_EQ(found.lines[0].text, "Hxg word");
    EXPECT_EQ(found.lines[0].words.size(), 2u);
    const Box expected = box_of_ink(image), box = found.lines[0].box;
    EXPECT_NEAR(box.x0, expected.x0, 2) << page.keys;
    EXPECT_NEAR(box.y0, expected.y0, 2) << page.keys;
    EXPECT_NEAR(box.x1, expected.x1, 2) << page.keys;
    EXPECT_NEAR(box.y1, expected.y1, 2) << page.keys;
    EXPECT_TRUE(text_layer_agrees(found, image)) << page.keys;
  }
}

// One line, though its letters are above each other.
TEST_F(RealText, TextThatRunsUpwards) {
  const TextLayer found = layer(PdfPage{"BT 0 1 -1 0 100 10 Tm /F1 12 Tf (two words) Tj ET"});
  EXPECT_THAT(texts(found.lines), ElementsAre("two words"));
  EXPECT_GT(found.lines[0].words[0].box.y0, found.lines[0].words[1].box.y1);
}

TEST_F(RealText, WhatIsOutsideTheCropBoxIsLeftOut) {
  PdfPage page{pdf_text("in", 12, 20, 40) + " " + pdf_text("out", 12, 150, 40)};
  page.keys = "/CropBox[0 0 100 100]";
  EXPECT_THAT(texts(layer(page).lines), ElementsAre("in"));
}

TEST_F(RealText, ABrokenWordKeepsItsHyphen) {
  EXPECT_THAT(texts(layer(PdfPage{pdf_text("hy-", 20, 150, 60) + " " + pdf_text("phen", 20, 10, 35)}).lines),
              ElementsAre("hy-", "phen"));
}

TEST_F(RealText, PagesWithoutText) {
  EXPECT_TRUE(agrees(PdfPage{""})) << "nothing is written there";
  EXPECT_FALSE(agrees(PdfPage{"20 20 100 3 re 20 40 100 3 re f"})) << "something may be written there";
}

TEST_F(RealText, InvisibleTextIsNotTrusted) {
  EXPECT_TRUE(agrees(PdfPage{pdf_text("Seen well")}));
  EXPECT_EQ(layer(PdfPage{"3 Tr " + pdf_text("Seen well")}).quality.invisible, 8);
  EXPECT_FALSE(agrees(PdfPage{"3 Tr " + pdf_text("Seen well")}));
  // The text of another program under a scan.
  EXPECT_FALSE(agrees(PdfPage{"3 Tr " + pdf_text("Seen well") + " 10 38 120 20 re f"}));
  EXPECT_FALSE(agrees(PdfPage{"1 g " + pdf_text("White") + " " + "0 g 150 10 20 20 re f"}));
  EXPECT_FALSE(agrees(PdfPage{pdf_text("Covered") + " 1 g 0 0 200 100 re f 0 g 150 10 20 20 re f"}));
}

TEST_F(RealText, WordsInAPictureOfTextAreNotAll) {
  std::string picture;  // many marks of the size of letters
  for (int y = 5; y < 90; y += 6) {
    for (int x = 10; x < 190; x += 4) picture += std::to_string(x) + " " + std::to_string(y) + " 2 3 re f ";
  }
  EXPECT_FALSE(agrees(PdfPage{picture + pdf_text("7", 6, 100, 93)}));
  PdfFile file = open(
      PdfPage{"100 10 2 50 re f 110 10 2 50 re f 120 10 2 50 re f " + pdf_text("Running text", 12, 10, 80)});
  const TextLayer found = file.text_layer(0).value();
  const Image image = file.render(0);
  EXPECT_GT(covered_ink(found, image, {0, 0, 400, 60}), 0.9);
  EXPECT_EQ(covered_ink(found, image, {180, 70, 280, 200}), 0);
  EXPECT_EQ(covered_ink(found, image, {0, 100, 50, 200}), 1) << "no ink";
  EXPECT_EQ(covered_ink(found, image, {-1e9, -1e9, -1e8, -1e8}), 1) << "outside";
}

// A page of Helvetica whose font says that code c is the letter `first` + c - 0x20.
std::string with_letters_from(const std::string& first, const std::string& text) {
  PdfWriter writer;
  const int map = writer.add_stream(
      "",
      "/CIDInit /ProcSet findresource begin 12 dict begin begincmap /CMapName /X def /CMapType 2 def\n"
      "1 begincodespacerange <00> <ff> endcodespacerange\n1 beginbfrange <20> <7e> <" +
          first + "> endbfrange\nendcmap CMapName currentdict /CMap defineresource pop end end");
  const int font =
      writer.add("<</Type/Font/Subtype/Type1/BaseFont/Helvetica/ToUnicode " + reference(map) + ">>");
  const int content = writer.add_stream("", text);
  const int tree = writer.next();
  writer.add("<</Type/Pages/Kids[" + reference(tree + 1) + "]/Count 1>>");
  writer.add("<</Type/Page/Parent " + reference(tree) + "/MediaBox[0 0 400 100]/Contents " +
             reference(content) + "/Resources<</Font<</F1 " + reference(font) + ">>>>>>");
  return writer.finish(writer.add("<</Type/Catalog/Pages " + reference(tree) + ">>"));
}

TEST_F(RealText, FontsThatLieAboutTheirLettersAreNotTrusted) {
  const std::string text = pdf_text("The quick brown fox jumps over the lazy dog and back", 12, 10, 60) +
                           " " +
                           pdf_text("Thus many tall and low letters stand beside each other", 12, 10, 30);
  EXPECT_TRUE(agrees(with_letters_from("0020", text)));
  EXPECT_FALSE(agrees(with_letters_from("0021", text))) << "each is said to be the next one of the alphabet";
  EXPECT_FALSE(agrees(with_letters_from("E020", text))) << "private use";
  EXPECT_FALSE(agrees(with_letters_from("0001", text))) << "control characters";
}

TEST_F(RealText, AMapOfMeaninglessLettersIsCounted) {
  PdfFile file = PdfFile::open_bytes(with_letters_from("E020", pdf_text("abc")), "file.pdf", options_);
  EXPECT_EQ(file.text_layer(0)->quality.unprintable, 3);
}

TEST_F(RealText, ALayerOfAnotherSizeDoesNotAgree) {
  PdfFile file = open(PdfPage{pdf_text("Good")});
  Image image = file.render(0);
  const TextLayer found = file.text_layer(0).value();
  EXPECT_TRUE(text_layer_agrees(found, image));
  TextLayer other = found;
  other.width -= 1;
  EXPECT_FALSE(text_layer_agrees(other, image));
  other = found;
  other.quality.complete = false;
  EXPECT_FALSE(text_layer_agrees(other, image));
}

TEST(PopplersText, IsNotKnown) {
  if (!has_renderer(PdfRenderer::poppler)) GTEST_SKIP() << "poppler is not on this machine";
  PdfOptions options;
  options.renderer = PdfRenderer::poppler;
  PdfFile file = PdfFile::open_bytes(pdf_of({{pdf_text("Good")}}), "file.pdf", options);
  EXPECT_EQ(file.text_layer(0), std::nullopt);
  EXPECT_THROW(file.text_layer(7), MissingPage);
}

class FakeText : public testing::Test {
 protected:
  PdfFile open(const std::string& pages) {
    PdfOptions options;
    options.dpi = 72;
    return PdfFile::open_bytes("%PDF\n" + pages, "fake.pdf", options);
  }
  EnvironmentVariable library_{"GLMOCR_PDFIUM", GLMOCR_FAKE_PDFIUM};
};

TEST_F(FakeText, ComesBesidePictures) {
  PdfFile file = open("200 100 letters abc\n200 100 letters d\n");
  EXPECT_EQ(file.text_layer(1)->lines.at(0).text, "d");
  EXPECT_EQ(file.render(0).width, 200);
  const TextLayer layer = file.text_layer(0).value();
  EXPECT_EQ(layer.lines.at(0).text, "abc");
  EXPECT_FLOAT_EQ(layer.lines[0].box.x1, 30);
  EXPECT_FLOAT_EQ(layer.lines[0].box.y0, 90);
}

TEST_F(FakeText, IsLimited) {
  PdfFile file = open("200 100 count 2000000\n200 100 count -5\n200 100 crash\n200 100 letters ok\n");
  const TextLayer layer = file.text_layer(0).value();
  EXPECT_FALSE(layer.quality.complete);
  EXPECT_THAT(layer.lines, IsEmpty()) << "none of them lies anywhere";
  EXPECT_THAT(file.text_layer(1)->lines, IsEmpty());
  expect_error(ErrorCode::input, {"fake.pdf: page 3: the renderer ended by signal 11"},
               [&] { file.text_layer(2); });
  EXPECT_EQ(file.text_layer(3)->lines.at(0).text, "ok");
}

}  // namespace
}  // namespace glmocr
