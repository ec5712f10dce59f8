// SPDX-License-Identifier: Apache-2.0
#include "engine/text_extent.h"

#include <gtest/gtest.h>

#include <string>

namespace glmocr::engine {
namespace {

Extent extent_of(const std::string& text) {
  TextExtent extent;
  extent.add(text);
  return extent.total();
}

double width_of(const std::string& text) { return extent_of(text).width; }

TEST(TextExtent, PiecesDoNotMatter) {
  const std::string text = "Größe <td colspan=2>a</td> \\frac{1}{2}\\\\ 水 ...\n\n  x < y";
  TextExtent pieces;
  for (const char c : text) pieces.add(std::string(1, c));
  EXPECT_DOUBLE_EQ(pieces.total().width, width_of(text));
  EXPECT_DOUBLE_EQ(pieces.total().unbroken, extent_of(text).unbroken);
  EXPECT_EQ(pieces.total().letters, extent_of(text).letters);
  EXPECT_EQ(pieces.total().breaks, extent_of(text).breaks);
}

TEST(TextExtent, AnEmptyTextTakesNoRoom) { EXPECT_EQ(width_of(""), 0); }

TEST(TextExtent, NarrowLettersTakeLess) {
  EXPECT_LT(width_of("illi"), width_of("abcd"));
  EXPECT_LT(width_of("abcd"), width_of("水水水水"));
  EXPECT_DOUBLE_EQ(width_of("é"), width_of("-") / 2 * 3) << "one character, whatever its bytes";
}

TEST(TextExtent, MarkupTakesLittle) {
  EXPECT_EQ(width_of("<b></b>"), 0);
  EXPECT_LT(width_of("\\alpha"), width_of("a"));
  EXPECT_LT(width_of("{}{}"), width_of("aaaa"));
  EXPECT_GT(width_of("a < b and so on, for many more words than a tag has, to the end of the line\n"), 10);
}

TEST(TextExtent, ShortLinesAndCellsTakeOneHeight) {
  EXPECT_DOUBLE_EQ(width_of("i\n"), 1);
  EXPECT_DOUBLE_EQ(width_of("i\\\\"), 1) << "a line of LaTeX";
  EXPECT_DOUBLE_EQ(width_of("abcdef\n"), width_of("abcdef"));
  EXPECT_DOUBLE_EQ(width_of("<tr><td>i</td><td>i</td><td>"), 3) << "one before the first";
  EXPECT_DOUBLE_EQ(width_of("<td></td><td></td><td></td><td>"), 4);
}

TEST(TextExtent, BlankPaperTakesNoRoom) {
  EXPECT_EQ(width_of("\n\n\n    \n"), 0);
  EXPECT_DOUBLE_EQ(width_of("    }\n        }\n"), width_of("}\n}\n"));
  EXPECT_DOUBLE_EQ(width_of("word          word"), width_of("word word"));
}

TEST(TextExtent, LinesMayEndBehindWordsTagsAndIdeographs) {
  const auto breaks = [](const std::string& text) { return extent_of(text).breaks; };
  EXPECT_EQ(breaks("word"), 0);
  EXPECT_EQ(breaks("one two three"), 2);
  EXPECT_EQ(breaks(" . . . ."), 0);
  EXPECT_EQ(breaks("1 . . . . 2"), 1);
  EXPECT_EQ(breaks("........"), 0);
  EXPECT_EQ(breaks("a\nb\n"), 2);
  EXPECT_EQ(breaks("a\\\\b"), 1);
  EXPECT_EQ(breaks("<td>"), 1);
  EXPECT_EQ(breaks("水水"), 2);
}

TEST(TextExtent, KnowsWhatStandsOnTheLastLine) {
  EXPECT_DOUBLE_EQ(extent_of("many words before .....").unbroken, width_of("....."));
  EXPECT_EQ(extent_of("word\n").unbroken, 0);
  EXPECT_DOUBLE_EQ(extent_of("word").unbroken, width_of("word"));
}

}  // namespace
}  // namespace glmocr::engine
