// SPDX-License-Identifier: Apache-2.0
#include "engine/stop.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <random>

#include "base/error.h"
#include "base/utf8.h"
#include "models/byte_level.h"

namespace glmocr::engine {
namespace {

using ::testing::HasSubstr;

const Tokenizer& awkward_tokenizer() {
  static const Tokenizer instance =
      Tokenizer::load(std::filesystem::path(GLMOCR_TEST_DATA) / "awkward" / "tokenizer.json");
  return instance;
}

std::vector<TokenId> bytes_of(const std::string& text) {
  std::vector<TokenId> ids;
  for (const char byte : text) ids.push_back(*awkward_tokenizer().token_to_id(to_byte_alphabet({&byte, 1})));
  return ids;
}

struct Shown {
  std::string text;                // all parts together
  std::vector<std::string> parts;  // what each token released
  bool stopped = false;
  std::size_t tokens = 0;  // until the stop
};

Shown show(const std::vector<TokenId>& ids, const std::vector<std::string>& stop) {
  OutputText output(awkward_tokenizer(), stop);
  Shown shown;
  for (const TokenId id : ids) {
    shown.parts.push_back(output.push(id));
    ++shown.tokens;
    if (output.stopped()) break;
  }
  shown.stopped = output.stopped();
  shown.parts.push_back(output.finish());
  for (const std::string& part : shown.parts) {
    EXPECT_EQ(find_invalid_utf8(part), std::string::npos);
    shown.text += part;
  }
  EXPECT_EQ(output.text(), shown.text);
  return shown;
}

TEST(OutputText, WithoutStopStringsEverythingComesAtOnce) {
  const Shown shown = show(bytes_of("abc"), {});
  EXPECT_EQ(shown.parts, (std::vector<std::string>{"a", "b", "c", ""}));
  EXPECT_FALSE(shown.stopped);
}

TEST(OutputText, HoldsBackIncompleteCharacters) {
  EXPECT_EQ(show(bytes_of("é!"), {}).parts, (std::vector<std::string>{"", "é", "!", ""}));
  EXPECT_EQ(show(bytes_of("a\xE2\x82"), {}).text, "a\xEF\xBF\xBD");  // cut off: one U+FFFD
}

TEST(OutputText, EndsBeforeAStopStringAcrossTokens) {
  const Shown shown = show(bytes_of("one END two"), {"END"});
  EXPECT_EQ(shown.text, "one ");
  EXPECT_TRUE(shown.stopped);
  EXPECT_EQ(shown.tokens, 7u);
}

TEST(OutputText, NeverShowsPartOfAStopString) {
  const Shown shown = show(bytes_of("ab1ab2abc"), {"abc"});
  EXPECT_EQ(shown.parts, (std::vector<std::string>{"", "", "ab1", "", "", "ab2", "", "", "", ""}));
}

TEST(OutputText, GivesBackWhatBecameNoStopString) {
  const Shown shown = show(bytes_of("xEN"), {"END"});
  EXPECT_EQ(shown.text, "xEN");
  EXPECT_FALSE(shown.stopped);
  EXPECT_EQ(shown.parts.back(), "EN");
}

TEST(OutputText, OverlappingBeginnings) {
  EXPECT_EQ(show(bytes_of("aaab"), {"aab"}).text, "a");
  EXPECT_EQ(show(bytes_of("ababac"), {"abac"}).text, "ab");
}

TEST(OutputText, TheStopStringThatIsCompleteFirstWins) {
  EXPECT_EQ(show(bytes_of("abcd"), {"abcd", "c"}).text, "ab");
  EXPECT_EQ(show(bytes_of("abcd"), {"c", "bc"}).text, "a");  // both end with the same byte
}

TEST(OutputText, TheCutIsTheSameWhateverTheTokens) {
  const std::string text = "Recognition: the thing and the line";
  ASSERT_LT(awkward_tokenizer().encode(text).size(), text.size());
  std::mt19937 random(3);
  for (int i = 0; i < 400; ++i) {
    std::vector<std::string> stop;
    for (int n = 0; n < 3; ++n) {
      const std::size_t begin = random() % text.size();
      stop.push_back(text.substr(begin, 1 + random() % 6));
    }
    EXPECT_EQ(show(awkward_tokenizer().encode(text), stop).text, show(bytes_of(text), stop).text)
        << stop[0] << '|' << stop[1] << '|' << stop[2];
  }
}

TEST(OutputText, StopStringsOfSeveralBytesACharacter) {
  EXPECT_EQ(show(bytes_of("aéàb"), {"à"}).text, "aé");                 // é and à begin with the same byte
  EXPECT_EQ(show(bytes_of("x\xE2\x82"), {"\xEF\xBF\xBD"}).text, "x");  // what only finish() shows
}

TEST(OutputText, SpecialTokensAreNoText) {
  const TokenId special = *awkward_tokenizer().token_to_id("<|begin_of_image|>");
  std::vector<TokenId> ids = bytes_of("EN");
  ids.push_back(special);
  EXPECT_EQ(show(ids, {}).text, "EN");
  ids.push_back(bytes_of("D")[0]);
  EXPECT_EQ(show(ids, {"END"}).text, "");
}

TEST(OutputText, RefusesStopStringsThatCannotBe) {
  const auto message = [](const std::vector<std::string>& stop) -> std::string {
    try {
      OutputText::check(stop);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::input);
      return error.what();
    }
    return "accepted";
  };
  EXPECT_THAT(message({"a", ""}), HasSubstr("stop string 2 is empty"));
  EXPECT_THAT(message({"ab\xFF"}), HasSubstr("stop string 1 is not UTF-8 at byte 2"));
  EXPECT_EQ(message({"a", "é"}), "accepted");
}

}  // namespace
}  // namespace glmocr::engine
