// SPDX-License-Identifier: Apache-2.0
// Every kind of tokenizer.json that cannot be used has an error of its own.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <functional>
#include <ostream>
#include <string>
#include <vector>

#include "base/error.h"
#include "unit/models/tokenizer_test_util.h"

namespace glmocr {
namespace {

using Json = nlohmann::json;
using ::testing::HasSubstr;
using testing::make_tokenizer;
using ::testing::StartsWith;

void expect_error(const std::string& json, const std::vector<std::string>& parts) {
  try {
    Tokenizer::parse(json, "dir/tokenizer.json");
    ADD_FAILURE() << "no error, expected " << parts[0];
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::model) << error.what();
    EXPECT_THAT(error.what(), StartsWith("dir/tokenizer.json: "));
    for (const std::string& part : parts) EXPECT_THAT(error.what(), HasSubstr(part));
  }
}

struct Broken {
  std::string name;
  std::function<void(Json&)> damage;
  std::vector<std::string> message;  // parts of it
};

void PrintTo(const Broken& broken, std::ostream* out) { *out << broken.name; }

Json& steps(Json& json) { return json["pre_tokenizer"]["pretokenizers"]; }

const std::vector<Broken>& broken() {
  static const std::vector<Broken> kCases = {
      {"NoModel", [](Json& j) { j.erase("model"); }, {"model is missing, expected an object"}},
      {"ModelType",
       [](Json& j) { j["model"]["type"] = "WordPiece"; },
       {"model.type", "WordPiece", "not supported"}},
      {"Unigram",
       [](Json& j) {
         j["model"] = {{"type", "Unigram"},
                       {"vocab", Json::array({Json::array({"a", -1.5}), Json::array({"b", -2.5})})}};
       },
       {"model.type", "Unigram", "not supported"}},
      {"NoVocab", [](Json& j) { j["model"].erase("vocab"); }, {"model.vocab is missing, expected an object"}},
      {"VocabIsAList",
       [](Json& j) {
         j["model"]["vocab"] = {"a", "b"};
       },
       {"model.vocab", "expected an object"}},
      {"NoMerges", [](Json& j) { j["model"].erase("merges"); }, {"model.merges is missing, expected a list"}},
      {"IdIsText",
       [](Json& j) { j["model"]["vocab"]["th"] = "12"; },
       {"id of \"th\" is \"12\"", "expected an integer"}},
      {"IdIsNegative", [](Json& j) { j["model"]["vocab"]["th"] = -1; }, {"id of \"th\" is -1"}},
      {"IdIsAFraction", [](Json& j) { j["model"]["vocab"]["th"] = 1.5; }, {"id of \"th\" is 1.5"}},
      {"IdIsAList", [](Json& j) { j["model"]["vocab"]["th"] = {1}; }, {"id of \"th\" is a list"}},
      {"IdIsHuge",
       [](Json& j) { j["model"]["vocab"]["th"] = UINT64_MAX; },
       {"id of \"th\" is 18446744073709551615"}},
      {"IdTwice",
       [](Json& j) { j["model"]["vocab"]["th"] = 65; },
       {"id 65 is used twice", "\"A\"", "\"th\""}},
      {"ByteMissing", [](Json& j) { j["model"]["vocab"].erase("Ġ"); }, {"lacks a piece for byte 32", "Ġ"}},
      {"ByteIsAnAddedToken",
       [](Json& j) {
         j["added_tokens"].push_back({{"id", 65}, {"content", "A"}});
       },
       {"lacks a piece for byte 65"}},
      {"MergeOfUnknown",
       [](Json& j) {
         j["model"]["merges"].push_back({"zz", "e"});
       },
       {"model.merges[1]", "\"zz\" is not in model.vocab"}},
      {"MergeIntoUnknown",
       [](Json& j) {
         j["model"]["merges"].push_back({"q", "q"});
       },
       {"model.merges[1]", "\"qq\" is not in model.vocab"}},
      {"MergeOfOne",
       [](Json& j) { j["model"]["merges"].push_back("th"); },
       {"model.merges[1] is \"th\"", "two pieces"}},
      {"MergeOfThree",
       [](Json& j) {
         j["model"]["merges"].push_back({"t", "h", "e"});
       },
       {"model.merges[1] is a list of 3", "two pieces"}},
      {"MergeOfThreeWords",
       [](Json& j) { j["model"]["merges"].push_back("t h e"); },
       {"model.merges[1] is \"t h e\""}},
      {"MergeOfNumbers",
       [](Json& j) {
         j["model"]["merges"].push_back({1, 2});
       },
       {"model.merges[1]", "two pieces"}},
      {"MergeIsAnObject",
       [](Json& j) {
         j["model"]["merges"].push_back({{"t", "h"}});
       },
       {"model.merges[1]", "two pieces"}},
      {"Dropout", [](Json& j) { j["model"]["dropout"] = 0.1; }, {"model.dropout is 0.1", "not supported"}},
      {"ByteFallback",
       [](Json& j) { j["model"]["byte_fallback"] = true; },
       {"model.byte_fallback", "not supported"}},
      {"SubwordPrefix",
       [](Json& j) { j["model"]["continuing_subword_prefix"] = "##"; },
       {"model.continuing_subword_prefix is \"##\""}},
      {"WordSuffix",
       [](Json& j) { j["model"]["end_of_word_suffix"] = "</w>"; },
       {"model.end_of_word_suffix"}},
      {"IgnoreMergesIsANumber",
       [](Json& j) { j["model"]["ignore_merges"] = 1; },
       {"model.ignore_merges is 1"}},
      {"Normalizer",
       [](Json& j) {
         j["normalizer"] = {{"type", "NFC"}};
       },
       {"normalizer is \"NFC\"", "not supported"}},
      {"NoPreTokenizer",
       [](Json& j) { j["pre_tokenizer"] = nullptr; },
       {"pre_tokenizer is missing", "ByteLevel"}},
      {"Metaspace",
       [](Json& j) {
         j["pre_tokenizer"] = {{"type", "Metaspace"}, {"replacement", "_"}};
       },
       {"pre_tokenizer is \"Metaspace\"", "not supported"}},
      {"StepOfAnotherKind",
       [](Json& j) {
         steps(j).insert(steps(j).begin(), Json{{"type", "Digits"}});
       },
       {"pre_tokenizer.pretokenizers[0] is \"Digits\""}},
      {"NoByteLevel", [](Json& j) { steps(j).erase(1); }, {"pre_tokenizer has no ByteLevel step"}},
      {"SplitAfterByteLevel",
       [](Json& j) { steps(j).push_back(steps(j)[0]); },
       {"pretokenizers[2]", "follows ByteLevel"}},
      {"SplitRemoves",
       [](Json& j) { steps(j)[0]["behavior"] = "Removed"; },
       {"pretokenizers[0].behavior is \"Removed\"", "Isolated"}},
      {"SplitInverted",
       [](Json& j) { steps(j)[0]["invert"] = true; },
       {"pretokenizers[0].invert", "not supported"}},
      {"NoPattern", [](Json& j) { steps(j)[0].erase("pattern"); }, {"pretokenizers[0].pattern is missing"}},
      {"BadPattern",
       [](Json& j) { steps(j)[0]["pattern"]["Regex"] = "(a"; },
       {"pre_tokenizer: pattern \"(a\" cannot be compiled", "parenthesis"}},
      {"NestedClass", [](Json& j) { steps(j)[0]["pattern"]["Regex"] = "[a[b]]"; }, {"a class in a class"}},
      {"NoDecoder", [](Json& j) { j["decoder"] = nullptr; }, {"decoder is missing", "ByteLevel"}},
      {"Decoder",
       [](Json& j) {
         j["decoder"] = {{"type", "WordPiece"}};
       },
       {"decoder is \"WordPiece\""}},
      {"AddedTokensAreAnObject",
       [](Json& j) { j["added_tokens"] = Json::object(); },
       {"added_tokens", "expected a list"}},
      {"AddedWithoutId",
       [](Json& j) { j["added_tokens"][0].erase("id"); },
       {"id of \"<|user|>\" is missing"}},
      {"AddedWithoutContent",
       [](Json& j) { j["added_tokens"][0].erase("content"); },
       {"added_tokens[0].content is missing"}},
      {"AddedIsEmpty",
       [](Json& j) { j["added_tokens"][0]["content"] = ""; },
       {"added_tokens[0].content is empty"}},
      {"AddedSingleWord",
       [](Json& j) { j["added_tokens"][0]["single_word"] = true; },
       {"added_tokens[0].single_word"}},
      {"AddedStripsLeft", [](Json& j) { j["added_tokens"][0]["lstrip"] = true; }, {"added_tokens[0].lstrip"}},
      {"AddedStripsRight",
       [](Json& j) { j["added_tokens"][0]["rstrip"] = true; },
       {"added_tokens[0].rstrip"}},
      {"AddedNormalized",
       [](Json& j) { j["added_tokens"][0]["normalized"] = true; },
       {"added_tokens[0].normalized"}},
      {"AddedIdOfAPiece",
       [](Json& j) { j["added_tokens"][0]["id"] = 65; },
       {"id 65 is used twice", "\"A\"", "\"<|user|>\""}},
      {"AddedTextOfAnotherPiece",
       [](Json& j) {
         j["added_tokens"].push_back({{"id", 300}, {"content", "th"}});
       },
       {"\"th\" occurs twice", "256", "300"}},
  };
  return kCases;
}

class BrokenTokenizer : public ::testing::TestWithParam<Broken> {};

TEST_P(BrokenTokenizer, HasAnErrorThatNamesIt) {
  Json json = make_tokenizer({{"t", "h"}});
  ASSERT_NO_THROW(testing::parse(json));
  GetParam().damage(json);
  expect_error(json.dump(), GetParam().message);
}

INSTANTIATE_TEST_SUITE_P(Kinds, BrokenTokenizer, ::testing::ValuesIn(broken()),
                         [](const auto& info) { return info.param.name; });

TEST(BrokenTokenizerText, NotJson) {
  const std::string good = make_tokenizer().dump();
  expect_error("", {"not valid JSON"});
  expect_error(good.substr(0, good.size() / 2), {"not valid JSON at byte"});
  expect_error("[1, 2]", {"expected an object"});
  expect_error("{\"model\": \"\xFF\"}", {"not valid JSON at byte 12"});
  expect_error(std::string(100'000, '['), {"nested deeper than 64"});
  expect_error(R"({"model": {"type": "BPE", "type": "BPE"}})", {"key \"type\"", "twice"});
}

TEST(BrokenTokenizerText, APieceGivenTwice) {
  std::string json = make_tokenizer().dump();
  const std::string vocab = "\"vocab\":{";
  json.insert(json.find(vocab) + vocab.size(), "\"A\":300,");
  expect_error(json, {"\"A\" occurs twice", "300", "65"});
}

TEST(BrokenTokenizerText, EveryTruncationIsAnError) {
  const std::string good = make_tokenizer({{"t", "h"}}).dump();
  for (std::size_t length = 0; length < good.size(); length += 37)
    expect_error(good.substr(0, length), {"JSON"});
}

TEST(BrokenTokenizerFile, NamesTheFile) {
  const std::filesystem::path folder = ::testing::TempDir();
  for (const std::filesystem::path& path : {folder / "no_such_tokenizer.json", folder}) {
    try {
      Tokenizer::load(path);
      FAIL() << "no error";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::model);
      EXPECT_THAT(error.what(), HasSubstr(path.string()));
    }
  }
}

}  // namespace
}  // namespace glmocr
