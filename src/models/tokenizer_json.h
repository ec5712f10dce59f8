// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "models/pre_tokenizer.h"
#include "models/vocabulary.h"

namespace glmocr {

// What a tokenizer.json of a byte-level BPE model says, typed. Not read, because they have no say here:
// `truncation` and `padding` (the caller's matter), `post_processor` (it puts control tokens around the text;
// our prompts hold theirs already), `unk_token` and `fuse_unk` (every byte has a token).
struct TokenizerJson {
  std::vector<Piece> pieces;
  std::vector<std::pair<std::string, std::string>> merges;  // the first is of the lowest rank
  bool ignore_merges = false;
  std::vector<AddedToken> added_tokens;
  PreTokenizerConfig pre_tokenizer;
};

// Ids are in [0, kMaxTokens).
inline constexpr TokenId kMaxTokens = 1 << 24;

// Throws Error{model} with `name` and the key for what is missing, wrong or not supported: another model than
// BPE, a normalizer, dropout, byte_fallback, subword affixes, another pre-tokenizer than Split and ByteLevel,
// another decoder than ByteLevel, added tokens that are normalised, strip space or match single words only.
TokenizerJson parse_tokenizer_json(std::string_view json, const std::string& name);

}  // namespace glmocr
