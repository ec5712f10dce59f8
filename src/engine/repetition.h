// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "engine/text_extent.h"
#include "engine/text_room.h"
#include "glmocr/types.h"

namespace glmocr::engine {

// Finds texts that repeat themselves beyond what their picture can hold. A pure function of the tokens, their bytes
// and the room on the picture; the time per token does not depend on the length of the text.
//
// A cycle is a unit of at most kLongestUnit tokens that stands kFewestRepeats times or more, over kFewestTokens tokens
// or more, at the end of the text. Its repeats are equal token by token; or equal but for numbers that count, by the
// same amount from each repeat to the next, and for the lengths of runs of one token, such as a leader's dots.
//
// A cycle may well stand on the page. The picture has room for so many repeats: beside all the text before them, other
// cycles included; and on one line with what stands on it already, where the unit is a rule, a leader or another text
// without a place where a line can end. A model may come out of a cycle and go on with the page, so the text is cut, to
// the repeats that have room, only when kPatience tokens have followed them.
class RepetitionGuard {
 public:
  static constexpr int kLongestUnit = 128;
  static constexpr std::int64_t kFewestRepeats = 10;
  static constexpr std::int64_t kFewestTokens = 256;
  static constexpr std::int64_t kPatience = 256;  // tokens

  explicit RepetitionGuard(const TextRoom& room) : room_(room) {}

  // Takes the next token and its bytes. Returns how many tokens to keep where the text has to be cut; no token may
  // follow then.
  std::optional<std::int64_t> push(TokenId token, std::string_view bytes);

 private:
  // A number of any digits, or a token that stands once or several times in a row.
  struct Symbol {
    TokenId token = kNumber;
    std::uint64_t value = 0;  // of a number, modulo 2^64
    std::int64_t begin = 0;   // its first token
  };
  static constexpr TokenId kNumber = -1;

  // For each period, the run at the end of items (tokens or symbols) that are equal to the item one period before.
  struct Run {
    std::int64_t length = 0;
    std::int64_t most = kUnknown;  // repeats that the picture has room for
    void extend(bool equal);
  };
  using Runs = std::array<Run, kLongestUnit + 1>;
  static constexpr std::int64_t kUnknown = -1;

  bool extend_symbol(TokenId token, std::string_view bytes);
  void add_symbol(const Symbol& symbol);
  bool counts_on(int period) const;
  // Cuts the cycle at the end of `count` items, where there is one. `begin(i)`: the first token of item i; for
  // i = count, the end of the text.
  template <class Begin>
  std::optional<std::int64_t> check(Runs& runs, std::int64_t count, const Begin& begin);
  std::int64_t repeats_with_room(std::int64_t start, std::int64_t unit, std::int64_t end) const;

  TextRoom room_;
  std::vector<TokenId> tokens_;
  std::vector<Extent> extents_{Extent()};  // of the text before each token, and of all
  TextExtent extent_;
  std::vector<Symbol> symbols_;
  std::optional<Symbol> open_;  // the last one, which the next token may extend; not among symbols_
  Runs token_runs_, symbol_runs_;
};

}  // namespace glmocr::engine
