// SPDX-License-Identifier: Apache-2.0
// Expectations: the official formatter's results. tools/compare_formatter.py compares thousands more.
#include "formats/sdk_rules.h"

#include <gtest/gtest.h>

#include <random>

#include "formats/inline_maths.h"
#include "formats/repeats.h"
#include "formats/unicode_classes.h"

namespace glmocr::formats {
namespace {

std::string formatted(const std::string& text, RegionLabel label = RegionLabel::text) {
  return to_utf8(sdk_region_text(to_text(text), label));
}

TEST(SdkRules, ListMarkersGetABlank) {
  EXPECT_EQ(formatted("1.5 GHz"), "1. 5 GHz");
  EXPECT_EQ(formatted("U.S. policy"), "U. S. policy");
  EXPECT_EQ(formatted("I.e."), "I. e.");
  EXPECT_EQ(formatted("(1)"), "(1) ");
  EXPECT_EQ(formatted("（2)abc"), "(2) abc");
  EXPECT_EQ(formatted("1."), "1. ");
  EXPECT_EQ(formatted("٣）x"), "٣) x");
  EXPECT_EQ(formatted("²) x"), "²) x");  // a digit, but no decimal one
  EXPECT_EQ(formatted("(ab)x"), "(ab)x");
  EXPECT_EQ(formatted("1.a\nb"), "1.a\n\nb");  // on one line only
}

TEST(SdkRules, Bullets) {
  EXPECT_EQ(formatted("* b"), "- b");
  EXPECT_EQ(formatted("•  b"), "- b");
  EXPECT_EQ(formatted("·b"), "- b");
}

TEST(SdkRules, Titles) {
  EXPECT_EQ(formatted("Intro\nb", RegionLabel::doc_title), "# Intro\n\nb");
  EXPECT_EQ(formatted("### T", RegionLabel::doc_title), "# T");
  EXPECT_EQ(formatted("", RegionLabel::doc_title), "# ");
  EXPECT_EQ(formatted("- # T", RegionLabel::paragraph_title), "## T");
}

TEST(SdkRules, Formulas) {
  EXPECT_EQ(formatted("$$", RegionLabel::display_formula), "$$\n\n$$");
  EXPECT_EQ(formatted("\\[ x \\)", RegionLabel::inline_formula), "$$\nx\n$$");
  EXPECT_EQ(formatted("\\theta", RegionLabel::display_formula), "$$\nheta\n$$");
  EXPECT_EQ(formatted("$$\\theta$$", RegionLabel::display_formula), "$$\n\\theta\n$$");
}

TEST(SdkRules, RunsAreCut) {
  EXPECT_EQ(formatted("A....b"), "A. ..b");
  EXPECT_EQ(formatted("x ______ y"), "x ___ y");
  EXPECT_EQ(formatted("x \\_\\_\\_\\_\\_"), "x \\_\\_\\_");
}

TEST(SdkRules, Fences) { EXPECT_EQ(formatted("```a\nb"), "```a\n\nb\n\n```"); }

TEST(SdkRules, InlineFormulas) {
  const auto tight = [](const std::string& text) {
    return to_utf8(with_tight_formulas(to_text(text), Dollars::sdk));
  };
  EXPECT_EQ(tight("x$ a $y"), "x $a$ y");
  EXPECT_EQ(tight("$ a$b$ c $"), "$a$ b $c$");
  EXPECT_EQ(tight("$ $"), "$ $");
  EXPECT_EQ(tight("a$$b$$c"), "a$$b$$c");
  EXPECT_EQ(tight("$a\\$ $b"), "$a\\$$ b");
  EXPECT_EQ(tight("$a\\"), "$a\\");
  EXPECT_EQ(tight("$5 and $6"), "$5 and$ 6");
}

TEST(SdkRules, WordsThatAreDivided) {
  EXPECT_TRUE(sdk_is_word(U"Example"));
  EXPECT_TRUE(sdk_is_word(U"\u212Ain"));  // the Kelvin sign: a k in lower case
  EXPECT_FALSE(sdk_is_word(U"example,"));
  EXPECT_FALSE(sdk_is_word(U"ab"));
  EXPECT_FALSE(sdk_is_word(U"naïve"));
  EXPECT_FALSE(sdk_is_word(U"a--b"));
  EXPECT_TRUE(sdk_is_word(Text(31, U'e')));
  EXPECT_FALSE(sdk_is_word(Text(32, U'e')));
}

TEST(UnicodeClasses, AsPython) {
  EXPECT_TRUE(is_space(0x1F) && is_space(0x85) && is_space(0x3000) && !is_space(0x200B));
  EXPECT_TRUE(is_decimal(U'٣') && !is_decimal(U'²'));
  EXPECT_TRUE(is_alnum(U'½') && is_alnum(U'中') && !is_alnum(U'_'));
  EXPECT_TRUE(is_lower(U'ª') && is_lower(U'ß') && !is_lower(U'中'));
  EXPECT_TRUE(is_upper(U'Ⅷ') && !is_upper(U'ǅ'));
  EXPECT_TRUE(is_wide(U'あ') && !is_wide(U'a') && !is_wide(0x10FFFF));
}

// By trying every place and unit, as the regular expression does.
std::optional<Repeat> plain_repeat(TextView text) {
  for (std::size_t begin = 0; begin < text.size(); ++begin) {
    for (std::size_t unit = 10; unit <= text.size() / 10 && begin + 10 * unit <= text.size(); ++unit) {
      std::size_t equal = 0;
      while (equal < 9 * unit && text[begin + equal] == text[begin + unit + equal]) ++equal;
      if (equal == 9 * unit) return Repeat{begin, unit};
    }
  }
  return std::nullopt;
}

TEST(Repeats, AsThePlainSearch) {
  std::mt19937 random(1);
  int found = 0;
  for (int i = 0; i < 400; ++i) {
    Text text, unit;
    const auto add = [&](Text& to, std::size_t most) {
      for (std::size_t n = random() % most; n > 0; --n) to += U'a' + random() % 2;
    };
    add(text, 40);
    add(unit, 25);
    for (std::size_t n = random() % 14; n > 0; --n) text += unit;
    add(text, 60);
    const auto expected = plain_repeat(text), repeat = find_repeat(text);
    ASSERT_EQ(repeat.has_value(), expected.has_value()) << to_utf8(text);
    if (!expected) continue;
    ++found;
    ASSERT_EQ(repeat->begin, expected->begin) << to_utf8(text);
    ASSERT_EQ(repeat->unit, expected->unit) << to_utf8(text);
  }
  EXPECT_GT(found, 50);
}

TEST(Repeats, OfCharactersWhoseHashesCollide) {
  // Hashes modulo 2^64 cannot tell this sequence from its complement.
  Text word = U"a";
  while (word.size() < 2048) {
    for (std::size_t i = 0, half = word.size(); i < half; ++i) word += word[i] == U'a' ? U'b' : U'a';
  }
  const Text other = word.substr(1024), same = word.substr(0, 1024);
  Text text;
  for (int i = 0; i < 6; ++i) text += same + other;
  EXPECT_FALSE(find_repeat(text));
  for (int i = 0; i < 4; ++i) text += same + other;
  ASSERT_TRUE(find_repeat(text));
  EXPECT_EQ(find_repeat(text)->unit, 2048U);
}

TEST(Repeats, EqualLines) {
  Text text = U"head\n";
  for (int i = 0; i < 9; ++i) text += U"  line\n\n";
  EXPECT_EQ(without_repeats(text), text);  // nine are not enough
  EXPECT_EQ(without_repeats(text + U"line"), U"head\n  line");
}

TEST(Repeats, LinearTime) {
  Text text(2'000'000, U'a');
  EXPECT_EQ(without_repeats(text).size(), 10U);
  for (std::size_t i = 0; i < text.size(); i += 99) text[i] = U'b';
  EXPECT_EQ(without_repeats(text).size(), 99U);
}

}  // namespace
}  // namespace glmocr::formats
