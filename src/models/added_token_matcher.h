// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "models/vocabulary.h"

namespace glmocr {

// Finds added tokens in raw text: the leftmost place where one begins, and the longest of those that begin
// there, as Hugging Face tokenizers do.
class AddedTokenMatcher {
 public:
  struct Match {
    TokenId id;
    std::size_t begin;  // [begin, end): bytes of the text
    std::size_t end;
  };

  explicit AddedTokenMatcher(const std::vector<AddedToken>& tokens);

  std::optional<Match> find(std::string_view text, std::size_t from) const;

 private:
  struct Entry {
    std::string content;
    TokenId id;
  };
  std::array<std::vector<Entry>, 256> by_first_byte_;  // longest first
};

}  // namespace glmocr
