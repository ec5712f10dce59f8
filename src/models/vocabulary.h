// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "glmocr/types.h"

namespace glmocr {

// A token that is matched in the raw text, before the pre-tokenizer runs.
struct AddedToken {
  TokenId id = 0;
  std::string content;   // as written in the text
  bool special = false;  // left out of the decoded text on request
};

// A piece of the model, written in the byte alphabet (byte_level.h).
struct Piece {
  std::string token;
  TokenId id = 0;
};

// Ids and their strings, as tokenizer.json writes them. Ids may have gaps. Move-only: the map from strings to
// ids points into the table of strings.
class Vocabulary {
 public:
  // Throws Error{model}, beginning with `name`, where an id or a string occurs twice; only an added token may
  // repeat a piece, with the same id. Ids are never negative.
  Vocabulary(std::vector<Piece> pieces, const std::vector<AddedToken>& added_tokens, const std::string& name);
  Vocabulary(const Vocabulary&) = delete;
  Vocabulary& operator=(const Vocabulary&) = delete;
  Vocabulary(Vocabulary&&) = default;
  Vocabulary& operator=(Vocabulary&&) = default;

  std::optional<TokenId> find(std::string_view token) const;
  const std::string& token(TokenId id) const;  // empty for an id without a token
  bool is_added(TokenId id) const { return kind(id) >= Kind::added; }
  bool is_special(TokenId id) const { return kind(id) == Kind::special; }
  int size() const { return static_cast<int>(tokens_.size()); }  // highest id + 1

 private:
  enum class Kind : std::uint8_t { none, piece, added, special };
  Kind kind(TokenId id) const { return id >= 0 && id < size() ? kinds_[id] : Kind::none; }
  void insert(TokenId id, std::string token, Kind kind, const std::string& name);

  std::vector<std::string> tokens_;                    // [size], by id
  std::vector<Kind> kinds_;                            // [size], by id
  std::unordered_map<std::string_view, TokenId> ids_;  // keys refer into tokens_
};

}  // namespace glmocr
