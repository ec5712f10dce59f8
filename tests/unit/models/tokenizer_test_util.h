// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "models/byte_level.h"
#include "models/tokenizer.h"

namespace glmocr::testing {

// A tokenizer.json for a test to change: the ids of the 256 byte pieces are the bytes, those of the merged
// pieces follow in order, and the control token `<|user|>` is last. Pieces are given as plain bytes.
inline nlohmann::json make_tokenizer(const std::vector<std::pair<std::string, std::string>>& merges = {}) {
  nlohmann::json vocab = nlohmann::json::object(), pairs = nlohmann::json::array();
  for (int byte = 0; byte < 256; ++byte)
    vocab[to_byte_alphabet(std::string(1, static_cast<char>(byte)))] = byte;
  for (const auto& [left, right] : merges) {
    pairs.push_back({to_byte_alphabet(left), to_byte_alphabet(right)});
    vocab.emplace(to_byte_alphabet(left + right), vocab.size());
  }
  const nlohmann::json split = {{"type", "Split"},
                                {"pattern", {{"Regex", R"( ?\p{L}+|\p{N}{1,3}|\s+(?!\S)|\s+)"}}},
                                {"behavior", "Isolated"},
                                {"invert", false}};
  const nlohmann::json byte_level = {
      {"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", false}};
  nlohmann::json json;
  json["added_tokens"] = {{{"id", vocab.size()}, {"content", "<|user|>"}, {"special", true}}};
  json["normalizer"] = nullptr;
  json["pre_tokenizer"] = {{"type", "Sequence"}, {"pretokenizers", {split, byte_level}}};
  json["decoder"] = byte_level;
  json["model"] = {{"type", "BPE"}, {"ignore_merges", false}, {"vocab", vocab}, {"merges", pairs}};
  return json;
}

inline Tokenizer parse(const nlohmann::json& json) { return Tokenizer::parse(json.dump(), "test.json"); }

// The tokens of a text as plain strings, which are easier to read than ids.
inline std::vector<std::string> tokens(const Tokenizer& tokenizer, std::string_view text,
                                       AddedTokens added = AddedTokens::ignore) {
  std::vector<std::string> out;
  for (const TokenId id : tokenizer.encode(text, added)) out.push_back(tokenizer.piece_bytes(id, false));
  return out;
}

}  // namespace glmocr::testing
