// SPDX-License-Identifier: Apache-2.0
// Patterns of tokenizer.json, run by PCRE2. The expected pieces are those of Hugging Face tokenizers.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/error.h"
#include "models/pre_tokenizer.h"
#include "models/regex.h"

namespace glmocr {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<std::string> pieces(const Regex& regex, std::string_view text) {
  std::vector<std::string> out;
  regex.for_each_piece(text, [&](std::string_view piece) { out.emplace_back(piece); });
  return out;
}

std::vector<std::string> split(std::string_view pattern, std::string_view text) {
  return pieces(Regex(pattern, Regex::Syntax::pattern, "test"), text);
}

// The pattern of GLM-OCR.
std::vector<std::string> glm(std::string_view text) {
  static const Regex kRegex(
      R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
      Regex::Syntax::pattern, "test");
  return pieces(kRegex, text);
}

TEST(Regex, CutsAsTheModelDoes) {
  EXPECT_THAT(glm("Text Recognition:"), ElementsAre("Text", " Recognition", ":"));
  EXPECT_THAT(glm("it'S we'LL x"), ElementsAre("it", "'S", " we", "'LL", " x"));
  EXPECT_THAT(glm("12345"), ElementsAre("123", "45"));
  EXPECT_THAT(glm("a   b  "), ElementsAre("a", "  ", " b", "  "));
  EXPECT_THAT(glm(" \n \n x"), ElementsAre(" \n \n", " x"));
  EXPECT_THAT(glm("?!\r\n\r\n."), ElementsAre("?!\r\n\r\n", "."));
  EXPECT_THAT(glm("e\u0301t"), ElementsAre("e", "\u0301t"));
  EXPECT_THAT(glm("²³ Ⅷ"), ElementsAre("²³", " ", "Ⅷ"));
}

TEST(Regex, WhiteSpaceIsUnicodes) {
  const std::string spaces = "\t\n\v\f\r \u0085\u00A0\u1680\u2000\u2009\u200A\u2028\u2029\u202F\u205F\u3000";
  EXPECT_THAT(split(R"(\s+)", "a" + spaces + "b"), ElementsAre("a", spaces, "b"));
  EXPECT_THAT(split(R"([\s]+)", "a" + spaces + "b"), ElementsAre("a", spaces, "b"));
  EXPECT_THAT(split(R"([[:space:]]+)", "a" + spaces + "b"), ElementsAre("a", spaces, "b"));
  // Not white space: U+180E, which PCRE2's own \s takes, U+200B, U+FEFF and the separators of ASCII.
  for (const std::string other : {"\u180E", "\u200B", "\uFEFF", "\x1C", "\x1F", "\x08"}) {
    EXPECT_THAT(split(R"(\s+)", other), ElementsAre(other));
    EXPECT_THAT(split(R"(\S)", other + " " + other), ElementsAre(other, " ", other));
    EXPECT_THAT(split(R"([\S])", other + " " + other), ElementsAre(other, " ", other));
    EXPECT_THAT(split(R"([^\S\n]+)", "\n " + other), ElementsAre("\n", " ", other));
    EXPECT_THAT(split(R"([[:^space:]]+)", other + other + " "), ElementsAre(other + other, " "));
  }
}

TEST(Regex, KeepsWhatLiesBetweenMatches) {
  EXPECT_THAT(split("b+", "abbca"), ElementsAre("a", "bb", "ca"));
  EXPECT_THAT(split("z", "abc"), ElementsAre("abc"));
  EXPECT_THAT(split("x*", "aéxb"),
              ElementsAre("a", "é", "x", "b"));  // empty matches split between characters
  EXPECT_THAT(split("^a|b$", "ab\nab"), ElementsAre("a", "b", "\n", "a", "b"));
}

TEST(Regex, ReadsClassesWithBracketsInThem) {
  EXPECT_THAT(split(R"([]x]+)", "a]xb"), ElementsAre("a", "]x", "b"));
  EXPECT_THAT(split(R"([^]x]+)", "a]xb"), ElementsAre("a", "]x", "b"));
  EXPECT_THAT(split(R"([\[\]\\\s]+\[)", "a]\\ [["), ElementsAre("a", "]\\ [["));
  EXPECT_THAT(split(R"(\\s)", R"(a\s)"), ElementsAre("a", R"(\s)"));
  EXPECT_THAT(split(R"([[:alpha:]:\]]+)", "1é:]2"), ElementsAre("1", "é:]", "2"));
}

TEST(Regex, LiteralsAreNotPatterns) {
  const Regex regex("a.+", Regex::Syntax::literal, "test");
  EXPECT_THAT(pieces(regex, "xa.+aab"), ElementsAre("x", "a.+", "aab"));
}

TEST(Regex, RefusesWhatItWouldReadDifferently) {
  for (const char* pattern : {"[a[bc]]", "[a-z&&[^b]]", R"(\h+)", R"([\H])", R"(\C)", R"(a|\C+)", R"(a\K)",
                              R"((?<k>a\K){0}(?=(?&k)))", "(a", "[a", R"(\p{Nothing})", "a\\"}) {
    try {
      split(pattern, "a");
      FAIL() << "no error for " << pattern;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::model);
      EXPECT_THAT(error.what(), HasSubstr("test: ")) << pattern;
      EXPECT_THAT(error.what(), HasSubstr("pattern"));
    }
  }
}

std::string failure(std::string_view pattern, std::string_view text) {
  try {
    split(pattern, text);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::model);
    return error.what();
  }
  return "no error";
}

TEST(Regex, BacktrackingWithoutEndIsAnError) {
  const std::string text(200, 'a');
  EXPECT_THAT(failure("(a+)+[^a]", text),
              HasSubstr("test: the pattern needs too much work at byte 0 of a text"));
  EXPECT_THAT(failure("(*NO_JIT)(a|aa)+[^a]", "x" + text), HasSubstr("too much work"));
}

TEST(Regex, MatchesFollowEachOther) {
  // \K hidden behind a control character that ends in a backslash: the match would begin after its end, for
  // ever.
  EXPECT_THAT(failure(R"((?<k>a\c\\K){0}(?=(?&k)))", "a\x1c"),
              HasSubstr("test: a match of the pattern begins at byte 2"));
}

TEST(Regex, OneMatchMayBeMegabytes) {
  // A repeated group needs state for every repetition: more than compiled matching has on the stack.
  std::string text;
  for (int i = 0; i < 300'000; ++i) text += i % 3 == 0 ? "é" : "ab";
  EXPECT_THAT(split("(?:ab|é)+x|(?:é|ab)+", text), ElementsAre(text));
  const std::string spaces(2'000'000, ' ');
  EXPECT_THAT(glm(spaces), ElementsAre(spaces));
  EXPECT_EQ(glm(spaces + "x").front().size(), spaces.size() - 1);
}

TEST(PreTokenizer, StepsFollowEachOther) {
  PreTokenizerConfig config;
  config.splits = {{R"(\p{N}+)", Regex::Syntax::pattern}, {"-", Regex::Syntax::literal}};
  config.add_prefix_space = true;
  config.use_regex = true;
  std::vector<std::string> out;
  PreTokenizer(config, "test").split("it's-12 b", [&](std::string_view piece) { out.emplace_back(piece); });
  EXPECT_THAT(out, ElementsAre(" it", "'s", " -", " 12", " b"));
}

}  // namespace
}  // namespace glmocr
