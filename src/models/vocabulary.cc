// SPDX-License-Identifier: Apache-2.0
#include "models/vocabulary.h"

#include <algorithm>
#include <utility>

#include "base/error.h"

namespace glmocr {

Vocabulary::Vocabulary(std::vector<Piece> pieces, const std::vector<AddedToken>& added_tokens,
                       const std::string& name) {
  TokenId highest = -1;
  for (const Piece& piece : pieces) highest = std::max(highest, piece.id);
  for (const AddedToken& token : added_tokens) highest = std::max(highest, token.id);
  // Sized once: the views in ids_ must stay valid.
  tokens_.resize(highest + 1);
  kinds_.resize(tokens_.size(), Kind::none);
  ids_.reserve(pieces.size() + added_tokens.size());

  for (Piece& piece : pieces) insert(piece.id, std::move(piece.token), Kind::piece, name);
  for (const AddedToken& token : added_tokens) {
    const Kind added = token.special ? Kind::special : Kind::added;
    if (kind(token.id) == Kind::piece && this->token(token.id) == token.content) {
      kinds_[token.id] = added;
    } else {
      insert(token.id, token.content, added, name);
    }
  }
}

void Vocabulary::insert(TokenId id, std::string token, Kind kind, const std::string& name) {
  std::string& slot = tokens_[id];
  if (this->kind(id) != Kind::none) {
    fail(ErrorCode::model,
         cat(name, ": id ", id, " is used twice, for \"", slot, "\" and for \"", token, "\""));
  }
  slot = std::move(token);
  const auto [other, inserted] = ids_.emplace(slot, id);
  if (!inserted) {
    fail(ErrorCode::model,
         cat(name, ": \"", slot, "\" occurs twice, as id ", other->second, " and as id ", id));
  }
  kinds_[id] = kind;
}

std::optional<TokenId> Vocabulary::find(std::string_view token) const {
  const auto found = ids_.find(token);
  return found == ids_.end() ? std::nullopt : std::optional(found->second);
}

const std::string& Vocabulary::token(TokenId id) const {
  static const std::string kNone;
  return kind(id) == Kind::none ? kNone : tokens_[id];
}

}  // namespace glmocr
