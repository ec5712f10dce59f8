// SPDX-License-Identifier: Apache-2.0
// Compares with Hugging Face tokenizers: tests/data/tokenizer, made by tools/make_tokenizer_fixture.py, which
// describes the format.
#include <gtest/gtest.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "models/tokenizer.h"

namespace glmocr {
namespace {

using Ids = std::vector<TokenId>;

nlohmann::json read_fixture(const std::string& name) {
  std::ifstream file(std::string(GLMOCR_TEST_DATA "/tokenizer/") + name + ".json");
  return nlohmann::json::parse(file);
}

Tokenizer load_tokenizer(const nlohmann::json& fixture) {
  return Tokenizer::load(std::filesystem::path(GLMOCR_SOURCE_DIR) / fixture["tokenizer"].get<std::string>());
}

// zlib's checksum of the ids as little-endian int32.
std::uint32_t crc32(const Ids& ids) {
  std::uint32_t crc = ~0u;
  for (const TokenId id : ids) {
    for (int byte = 0; byte < 4; ++byte) {
      crc ^= static_cast<std::uint32_t>(id) >> (8 * byte) & 0xFF;
      for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc & 1 ? 0xEDB88320u : 0);
    }
  }
  return ~crc;
}

std::string stream(const Tokenizer& tokenizer, const Ids& ids, bool skip_special) {
  StreamDecoder decoder(tokenizer, skip_special);
  std::string text;
  for (const TokenId id : ids) {
    const std::string part = decoder.push(id);
    EXPECT_EQ(find_invalid_utf8(part), std::string_view::npos);
    text += part;
  }
  return text + decoder.finish();
}

class TokenizerFixture : public ::testing::TestWithParam<const char*> {
 protected:
  const nlohmann::json fixture_ = read_fixture(GetParam());
  const Tokenizer tokenizer_ = load_tokenizer(fixture_);
};

TEST_P(TokenizerFixture, EncodesAsHuggingFaceDoes) {
  ASSERT_GE(fixture_["cases"].size(), 5000u);
  int differ = 0;
  for (const nlohmann::json& row : fixture_["cases"]) {
    const std::string text = row[0];
    const Ids ids = row[1], plain_ids = row[row.size() - 1];
    const bool same =
        tokenizer_.encode(text, AddedTokens::match) == ids && tokenizer_.encode(text) == plain_ids;
    if (!same && ++differ <= 5) ADD_FAILURE() << "differs: " << row[0].dump();
  }
  EXPECT_EQ(differ, 0);
}

TEST_P(TokenizerFixture, DecodesAsHuggingFaceDoes) {
  ASSERT_GE(fixture_["decode"].size(), 400u);
  for (const nlohmann::json& row : fixture_["decode"]) {
    const Ids ids = row[0];
    const std::string text = row[1], without_special = row[2];
    EXPECT_EQ(tokenizer_.decode(ids, false), text) << row[0].dump();
    EXPECT_EQ(tokenizer_.decode(ids, true), without_special) << row[0].dump();
    EXPECT_EQ(stream(tokenizer_, ids, false), text) << row[0].dump();
    EXPECT_EQ(stream(tokenizer_, ids, true), without_special) << row[0].dump();
  }
}

TEST_P(TokenizerFixture, DecodingGivesTheTextAgainWholeAndStreamed) {
  for (const nlohmann::json& row : fixture_["cases"]) {
    const std::string text = row[0];
    const Ids ids = row[1], plain_ids = row[row.size() - 1];
    ASSERT_EQ(tokenizer_.decode(ids, false), text);
    ASSERT_EQ(tokenizer_.decode(plain_ids, true), text);
    ASSERT_EQ(stream(tokenizer_, ids, false), text);
    ASSERT_EQ(stream(tokenizer_, ids, true), tokenizer_.decode(ids, true));
  }
}

TEST_P(TokenizerFixture, EncodesLongTextsAsHuggingFaceDoes) {
  ASSERT_GE(fixture_["long"].size(), 10u);
  for (const nlohmann::json& row : fixture_["long"]) {
    const std::string unit = row[0];
    std::string text;
    for (int i = 0; i < row[1].get<int>(); ++i) text += unit;
    const Ids ids = tokenizer_.encode(text, AddedTokens::match);
    EXPECT_EQ(ids.size(), row[2].get<std::size_t>()) << row[0].dump();
    EXPECT_EQ(crc32(ids), row[3].get<std::uint32_t>()) << row[0].dump();
  }
}

TEST_P(TokenizerFixture, ThreadsMayEncodeAtOnce) {
  std::vector<std::string> texts;
  std::vector<Ids> expected;
  for (std::size_t i = 0; i < 2000; ++i) {
    texts.push_back(fixture_["cases"][i][0]);
    expected.push_back(fixture_["cases"][i][1]);
  }
  std::array<int, 2> differ{};
  std::vector<std::thread> threads;
  for (int& count : differ) {
    threads.emplace_back([&, slot = &count] {
      for (std::size_t i = 0; i < texts.size(); ++i) {
        const Ids ids = tokenizer_.encode(texts[i], AddedTokens::match);
        *slot += ids != expected[i] || tokenizer_.decode(ids, false) != texts[i];
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(differ[0], 0);
  EXPECT_EQ(differ[1], 0);
}

INSTANTIATE_TEST_SUITE_P(HuggingFace, TokenizerFixture, ::testing::Values("mini", "small"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace glmocr
