// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <array>
#include <cstdint>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "models/vocabulary.h"

namespace glmocr {

// What a pair of neighbouring tokens becomes; the pair with the lowest rank is merged first.
struct Merge {
  std::uint32_t rank;
  TokenId merged;
};

class MergeTable {
 public:
  static constexpr std::uint32_t kNoRank = UINT32_MAX;

  void reserve(std::size_t count) { merges_.reserve(count); }
  // A pair that is set twice takes the later rank, as in Hugging Face tokenizers.
  void set(TokenId left, TokenId right, Merge merge) { merges_[key(left, right)] = merge; }
  // {kNoRank, -1} where the pair does not merge.
  Merge find(TokenId left, TokenId right) const;

 private:
  static std::uint64_t key(TokenId left, TokenId right) {
    return static_cast<std::uint64_t>(left) << 32 | static_cast<std::uint32_t>(right);
  }
  std::unordered_map<std::uint64_t, Merge> merges_;
};

// Byte pair encoding of one pre-token: starts with one token per byte and merges the pair with the lowest
// rank, the leftmost among equals, until no pair merges. O(n log n).
class BytePairEncoder {
 public:
  BytePairEncoder(const std::array<TokenId, 256>& byte_ids, MergeTable merges);

  // Appends the ids of `bytes` (fewer than 2^32 - 1) to `ids`.
  void encode(std::string_view bytes, std::vector<TokenId>& ids) const;

 private:
  std::array<TokenId, 256> byte_ids_;
  MergeTable merges_;
};

}  // namespace glmocr
