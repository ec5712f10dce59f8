// SPDX-License-Identifier: Apache-2.0
#include "models/added_token_matcher.h"

#include <algorithm>
#include <cstdint>

namespace glmocr {

AddedTokenMatcher::AddedTokenMatcher(const std::vector<AddedToken>& tokens) {
  for (const AddedToken& token : tokens) {
    by_first_byte_[static_cast<std::uint8_t>(token.content.at(0))].push_back({token.content, token.id});
  }
  for (std::vector<Entry>& entries : by_first_byte_) {
    std::sort(entries.begin(), entries.end(),
              [](const Entry& a, const Entry& b) { return a.content.size() > b.content.size(); });
  }
}

std::optional<AddedTokenMatcher::Match> AddedTokenMatcher::find(std::string_view text,
                                                                std::size_t from) const {
  for (std::size_t at = from; at < text.size(); ++at) {
    for (const Entry& entry : by_first_byte_[static_cast<std::uint8_t>(text[at])]) {
      if (text.substr(at).starts_with(entry.content)) return Match{entry.id, at, at + entry.content.size()};
    }
  }
  return std::nullopt;
}

}  // namespace glmocr
