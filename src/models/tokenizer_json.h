// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "models/pre_tokenizer.h"
#include "models/vocabulary.h"

namespace glmocr {

// The contents of a tokenizer.json of a byte-level BPE model. These keys are ignored: `truncation` and
// `padding` (up to the caller), `post_processor` (it puts control tokens around the text; our prompts have
// theirs already), `unk_token` and `fuse_unk` (every byte has a token).
struct TokenizerJson {
  std::vector<Piece> pieces;
  std::vector<std::pair<std::string, std::string>> merges;  // in order of rank, the lowest first
  bool ignore_merges = false;
  std::vector<AddedToken> added_tokens;
  PreTokenizerConfig pre_tokenizer;
};

// Ids are in [0, kMaxTokens).
inline constexpr TokenId kMaxTokens = 1 << 24;

// Throws Error{model} with `name` and the key for what is missing, wrong or not supported: a model other than
// BPE, a normalizer, dropout, byte_fallback, subword affixes, a pre-tokenizer other than Split and ByteLevel,
// a decoder other than ByteLevel, added tokens that are normalised, strip spaces or match whole words only.
TokenizerJson parse_tokenizer_json(std::string_view json, const std::string& name);

}  // namespace glmocr
