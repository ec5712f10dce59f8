// SPDX-License-Identifier: Apache-2.0
#include "models/tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "unit/models/tokenizer_test_util.h"

namespace glmocr {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using testing::make_tokenizer;
using testing::parse;
using testing::tokens;
using Pairs = std::vector<std::pair<std::string, std::string>>;
using Strings = std::vector<std::string>;

TEST(ByteAlphabet, HasTheCharactersOfGpt2) {
  EXPECT_EQ(to_byte_alphabet(" \n\tA~"), "ĠĊĉA~");
  EXPECT_EQ(to_byte_alphabet("é"), "Ã©");
  EXPECT_EQ(to_byte_alphabet(std::string("\x00\x7F\xAD", 3)), "\u0100\u0121\u0143");
  EXPECT_EQ(from_byte_alphabet("Ġé"), " \xE9");
  EXPECT_EQ(from_byte_alphabet("<|a b|>"),
            "<|a b|>");  // a space is not in the alphabet: the token is its own text
  std::string all;
  for (int byte = 0; byte < 256; ++byte) all.push_back(static_cast<char>(byte));
  EXPECT_EQ(from_byte_alphabet(to_byte_alphabet(all)), all);
}

TEST(Tokenizer, MergesByRankThenFromTheLeft) {
  EXPECT_THAT(tokens(parse(make_tokenizer({{"a", "a"}})), "aaa"), ElementsAre("aa", "a"));
  EXPECT_THAT(tokens(parse(make_tokenizer({{"b", "c"}, {"a", "b"}})), "abc"), ElementsAre("a", "bc"));
  EXPECT_THAT(tokens(parse(make_tokenizer({{"a", "b"}, {"b", "c"}})), "abc"), ElementsAre("ab", "c"));
  EXPECT_THAT(tokens(parse(make_tokenizer({{"a", "b"}, {"ab", "ab"}})), "ababab"), ElementsAre("abab", "ab"));
}

TEST(Tokenizer, MergesStayWithinAPreToken) {
  const Tokenizer tokenizer = parse(make_tokenizer({{"a", " "}, {"1", "2"}, {"12", "3"}, {"3", "4"}}));
  EXPECT_THAT(tokens(tokenizer, "a a 1234"), ElementsAre("a", " ", "a", " ", "123", "4"));
}

TEST(Tokenizer, WholePreTokensGoBeforeMergesWithIgnoreMerges) {
  nlohmann::json json = make_tokenizer({{"b", "c"}});
  json["model"]["vocab"]["abc"] = 300;
  EXPECT_THAT(tokens(parse(json), "abc"), ElementsAre("a", "bc"));
  json["model"]["ignore_merges"] = true;
  EXPECT_THAT(tokens(parse(json), "abc"), ElementsAre("abc"));
  EXPECT_THAT(tokens(parse(json), "abca"), ElementsAre("a", "bc", "a"));
}

TEST(Tokenizer, MergesMayBeStringsOrPairs) {
  const nlohmann::json pairs = make_tokenizer({{"t", "h"}, {" ", "th"}, {"\xC3", "\xA9"}, {"é", "é"}});
  nlohmann::json strings = pairs;
  for (nlohmann::json& merge : strings["model"]["merges"]) {
    merge = merge[0].get<std::string>() + " " + merge[1].get<std::string>();
  }
  const std::string text = "the th éé";
  EXPECT_EQ(parse(strings).encode(text), parse(pairs).encode(text));
  EXPECT_THAT(tokens(parse(strings), "a th"), ElementsAre("a", " th"));
}

// The definition, in quadratic time: merge the pair with the lowest rank, the leftmost among equals, until
// none is left.
Strings merge_by_definition(const std::string& text, const Pairs& merges) {
  Strings parts;
  for (const char c : text) parts.push_back({c});
  for (;;) {
    std::size_t best = merges.size(), place = 0;
    for (std::size_t i = 0; i + 1 < parts.size(); ++i) {
      const auto rank = static_cast<std::size_t>(
          std::find(merges.begin(), merges.end(), std::pair(parts[i], parts[i + 1])) - merges.begin());
      if (rank < best) {
        best = rank;
        place = i;
      }
    }
    if (best == merges.size()) return parts;
    parts[place] += parts[place + 1];
    parts.erase(parts.begin() + place + 1);
  }
}

TEST(Tokenizer, AgreesWithTheDefinitionOnRandomMerges) {
  std::mt19937 random(1);
  const auto pick = [&](std::size_t count) { return random() % count; };
  for (int round = 0; round < 100; ++round) {
    Strings known = {"a", "b", "c"};
    Pairs merges;
    while (merges.size() < 12) {
      const std::pair merge(known[pick(known.size())], known[pick(known.size())]);
      if (std::find(merges.begin(), merges.end(), merge) != merges.end()) continue;
      merges.push_back(merge);
      known.push_back(merge.first + merge.second);
    }
    std::shuffle(merges.begin(), merges.end(),
                 random);  // so that some pairs have a lower rank than their parts
    nlohmann::json json = make_tokenizer(merges);
    const Tokenizer tokenizer = parse(json);
    for (int i = 0; i < 20; ++i) {
      std::string text;
      for (std::size_t length = 1 + pick(60); text.size() < length;) text.push_back("abc"[pick(3)]);
      ASSERT_EQ(tokens(tokenizer, text), merge_by_definition(text, merges)) << text << " in round " << round;
    }
  }
}

TEST(Tokenizer, OnePreTokenMayBeMegabytes) {
  const Tokenizer tokenizer =
      parse(make_tokenizer({{"a", "b"}, {"ab", "ab"}, {"abab", "abab"}, {"abababab", "c"}}));
  std::string text;
  for (int i = 0; i < 1 << 20; ++i) text += "ab";
  text += 'c';
  const std::vector<TokenId> ids = tokenizer.encode(text);
  ASSERT_EQ(ids.size(), 1u << 18);
  EXPECT_TRUE(std::all_of(ids.begin(), ids.end() - 1,
                          [&](TokenId id) { return id == tokenizer.token_to_id("abababab"); }));
  EXPECT_EQ(ids.back(), tokenizer.token_to_id("ababababc"));
  EXPECT_EQ(tokenizer.decode(ids), text);
}

TEST(Tokenizer, AddedTokensMatchOnlyOnRequest) {
  const Tokenizer tokenizer = parse(make_tokenizer());
  const TokenId user = *tokenizer.token_to_id("<|user|>");
  const std::string text = "a<|user|><|user|> b<|user|";
  EXPECT_THAT(tokens(tokenizer, text, AddedTokens::match),
              ElementsAre("a", "<|user|>", "<|user|>", " ", "b", "<", "|", "u", "s", "e", "r", "|"));
  for (const TokenId id : tokenizer.encode(text)) EXPECT_NE(id, user);
  EXPECT_EQ(tokenizer.decode(tokenizer.encode(text)), text);
}

TEST(Tokenizer, TheLeftmostLongestAddedTokenWins) {
  nlohmann::json json = make_tokenizer();
  int id = 400;
  for (const char* content : {"/no", "/nothink", "think>", "<think>", "→"}) {
    json["added_tokens"].push_back({{"id", id++}, {"content", content}, {"special", false}});
  }
  const Tokenizer tokenizer = parse(json);
  const auto match = [&](std::string_view text) { return tokens(tokenizer, text, AddedTokens::match); };
  EXPECT_THAT(match("/nothink"), ElementsAre("/nothink"));
  EXPECT_THAT(match("/nothin"), ElementsAre("/no", "t", "h", "i", "n"));
  EXPECT_THAT(match("/no/nothink"), ElementsAre("/no", "/nothink"));
  EXPECT_THAT(match("<think>"), ElementsAre("<think>"));
  EXPECT_THAT(match("xthink>"), ElementsAre("x", "think>"));
  EXPECT_EQ(tokenizer.encode("n→", AddedTokens::match), (std::vector<TokenId>{'n', 404}));
  EXPECT_EQ(tokenizer.added_tokens().size(), 6u);
}

TEST(Tokenizer, NoWayAroundIgnoringAddedTokens) {
  // The control token is in the vocabulary too; merges or a whole pre-token could produce it.
  nlohmann::json json = make_tokenizer({{"n", "o"}, {"no", "w"}, {"now", "s"}});
  const nlohmann::json id = json["model"]["vocab"]["now"];
  json["added_tokens"].push_back({{"id", id}, {"content", "now"}, {"special", true}});
  for (const bool ignore_merges : {false, true}) {
    json["model"]["ignore_merges"] = ignore_merges;
    const Tokenizer tokenizer = parse(json);
    EXPECT_THAT(tokens(tokenizer, "now"), ElementsAre("no", "w"));
    EXPECT_THAT(tokens(tokenizer, "now", AddedTokens::match), ElementsAre("now"));
    EXPECT_TRUE(tokenizer.is_special(id.get<TokenId>()));
  }
}

TEST(Tokenizer, PrefixSpaceAndThePatternOfByteLevel) {
  nlohmann::json json = make_tokenizer({{" ", "a"}, {" ", "b"}, {"'", "s"}});
  nlohmann::json& steps = json["pre_tokenizer"]["pretokenizers"];
  steps[1]["add_prefix_space"] = true;
  EXPECT_THAT(tokens(parse(json), "a1b a"),
              ElementsAre(" a", " ", "1", " b", " a"));  // before each piece of Split
  EXPECT_THAT(tokens(parse(json), ""), IsEmpty());
  json["pre_tokenizer"] = nlohmann::json(steps[1]);
  EXPECT_THAT(tokens(parse(json), "a a"), ElementsAre(" a", " a"));
  EXPECT_THAT(tokens(parse(json), "a's"), ElementsAre(" a", "'s"));
  EXPECT_THAT(tokens(parse(json), "\n<|user|>b", AddedTokens::match),
              ElementsAre(" ", "\n", "<|user|>", " b"));
  json["pre_tokenizer"]["use_regex"] = true;
  EXPECT_THAT(tokens(parse(json), "it's"), ElementsAre(" ", "i", "t", "'s"));
}

TEST(Tokenizer, DecodesToValidUtf8AndSkipsSpecialTokens) {
  nlohmann::json json = make_tokenizer();
  json["added_tokens"].push_back({{"id", 300}, {"content", "<think>"}, {"special", false}});
  const Tokenizer tokenizer = parse(json);
  const TokenId user = *tokenizer.token_to_id("<|user|>");
  EXPECT_EQ(tokenizer.decode(std::vector<TokenId>{user, 'a', 300, user}), "a<think>");
  EXPECT_EQ(tokenizer.decode(std::vector<TokenId>{user, 'a', 300, user}, false), "<|user|>a<think><|user|>");
  EXPECT_EQ(tokenizer.decode(std::vector<TokenId>{0xC3, user, 0xA9}), "é");
  EXPECT_EQ(tokenizer.decode(std::vector<TokenId>{0xC3, user, 0xA9}, false), "\uFFFD<|user|>\uFFFD");
  constexpr TokenId kHighest = std::numeric_limits<TokenId>::max();
  EXPECT_EQ(tokenizer.decode(std::vector<TokenId>{'a', -1, 299, 301, kHighest, 'b'}), "ab");  // 299: a gap
  EXPECT_EQ(tokenizer.piece_bytes(0xC3, true), "\xC3");
  EXPECT_EQ(tokenizer.piece_bytes(user, true), "");
}

TEST(Tokenizer, KnowsItsTokens) {
  nlohmann::json json = make_tokenizer({{" ", "a"}});
  json["added_tokens"].push_back({{"id", 300}, {"content", "<think>"}, {"special", false}});
  const Tokenizer tokenizer = parse(json);
  EXPECT_EQ(tokenizer.size(), 301);
  EXPECT_EQ(tokenizer.token_to_id("Ġa"), 256);
  EXPECT_EQ(tokenizer.token_to_id("<|user|>"), 257);
  EXPECT_EQ(tokenizer.token_to_id(" a"), std::nullopt);
  EXPECT_EQ(tokenizer.id_to_token(256), "Ġa");
  EXPECT_EQ(tokenizer.id_to_token(300), "<think>");
  EXPECT_EQ(tokenizer.id_to_token(299), "");
  EXPECT_EQ(tokenizer.id_to_token(-1), "");
  EXPECT_TRUE(tokenizer.is_special(257));
  EXPECT_FALSE(tokenizer.is_special(300));
  EXPECT_FALSE(tokenizer.is_special(256));
  EXPECT_FALSE(tokenizer.is_special(-1));
}

TEST(Tokenizer, MayBeMoved) {
  Tokenizer first = parse(make_tokenizer({{"t", "h"}}));
  const Tokenizer second = std::move(first);
  EXPECT_EQ(second.token_to_id("th"), 256);
  EXPECT_THAT(tokens(second, "th<|user|>", AddedTokens::match), ElementsAre("th", "<|user|>"));
}

TEST(Tokenizer, NamesTheByteThatIsNotUtf8) {
  const Tokenizer tokenizer = parse(make_tokenizer());
  for (const AddedTokens added : {AddedTokens::ignore, AddedTokens::match}) {
    try {
      tokenizer.encode("h\xC3\xA9 \xC3(", added);
      FAIL() << "no error";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::input);
      EXPECT_NE(std::string(error.what()).find("byte 4"), std::string::npos) << error.what();
    }
  }
}

TEST(StreamDecoder, GivesOutWholeCharacters) {
  const Tokenizer tokenizer = parse(make_tokenizer());
  StreamDecoder decoder(tokenizer);
  EXPECT_EQ(decoder.push('a'), "a");
  EXPECT_EQ(decoder.push(0xE2), "");
  EXPECT_EQ(decoder.push(0x82), "");
  EXPECT_EQ(decoder.push(*tokenizer.token_to_id("<|user|>")), "");
  EXPECT_EQ(decoder.push(0xAC), "€");
  EXPECT_EQ(decoder.push(0xF0), "");
  EXPECT_EQ(decoder.push('b'), "\uFFFDb");
  EXPECT_EQ(decoder.push(0xC3), "");
  EXPECT_EQ(decoder.finish(), "\uFFFD");
}

}  // namespace
}  // namespace glmocr
