// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/repetition.h"

namespace glmocr::engine {

// What RepetitionGuard does, computed from the whole text anew for every token.
class PlainRepetition {
 public:
  explicit PlainRepetition(const TextRoom& room) : room_(room) {}

  std::optional<std::int64_t> push(TokenId token, const std::string& bytes) {
    tokens_.push_back({token, bytes});
    const std::int64_t n = std::ssize(tokens_);
    std::vector<Item> items;
    for (std::int64_t i = 0; i < n; ++i) items.push_back({tokens_[i].id, 0, i});
    if (const auto keep = cut(items, n)) return keep;
    std::vector<Item> symbols;
    for (std::int64_t i = 0; i < n; ++i) {
      const bool number = is_number(tokens_[i].bytes);
      const TokenId id = number ? kNumber : tokens_[i].id;
      if (symbols.empty() || symbols.back().id != id) symbols.push_back({id, 0, i});
      for (const char c : number ? tokens_[i].bytes : "") {
        symbols.back().value = 10 * symbols.back().value + (c - '0');
      }
    }
    // Only what the last token completed: before that nothing has changed.
    const std::int64_t end = symbols.back().begin;
    if (end != n - 1) return std::nullopt;
    symbols.pop_back();
    return cut(symbols, end);
  }

 private:
  struct Token {
    TokenId id;
    std::string bytes;
  };
  struct Item {
    TokenId id;
    std::uint64_t value;  // of a number
    std::int64_t begin;
  };
  static constexpr TokenId kNumber = -1;

  static bool is_number(const std::string& bytes) {
    return !bytes.empty() && bytes.find_first_not_of("0123456789") == std::string::npos;
  }
  static bool repeats(const std::vector<Item>& items, std::int64_t i, std::int64_t period) {
    if (i < period || items[i].id != items[i - period].id) return false;
    if (items[i].id != kNumber) return true;
    if (i < 2 * period || items[i - 2 * period].id != kNumber) return false;
    return items[i].value - items[i - period].value == items[i - period].value - items[i - 2 * period].value;
  }

  Extent extent(std::int64_t tokens) const {
    TextExtent extent;
    for (std::int64_t i = 0; i < tokens; ++i) extent.add(tokens_[i].bytes);
    return extent.total();
  }

  std::optional<std::int64_t> cut(const std::vector<Item>& items, std::int64_t end) const {
    const std::int64_t n = std::ssize(items);
    for (std::int64_t period = 1; period <= 128 && period < n; ++period) {
      std::int64_t start = n;
      while (start > 0 && repeats(items, start - 1, period)) --start;
      start -= period;
      if (start < 0 || n - start < 10 * period || end - items[start].begin < 256) continue;
      const std::int64_t room = repeats_with_room(items[start].begin, unit_of(items, start, period, end));
      if ((n - start) / period <= room) return std::nullopt;
      const std::int64_t kept = items[start + room * period].begin;
      return end - kept >= 256 ? std::optional(kept) : std::nullopt;
    }
    return std::nullopt;
  }

  // The tokens of the repeat by which the cycle became long enough: its room was measured then.
  std::pair<std::int64_t, std::int64_t> unit_of(const std::vector<Item>& items, std::int64_t start,
                                                std::int64_t period, std::int64_t end) const {
    std::int64_t last = start + 10 * period;
    const auto begin = [&](std::int64_t i) { return i < std::ssize(items) ? items[i].begin : end; };
    while (begin(last) - items[start].begin < 256) ++last;
    return {begin(last - period), begin(last)};
  }

  std::int64_t repeats_with_room(std::int64_t start, std::pair<std::int64_t, std::int64_t> unit) const {
    const Extent before = extent(start), first = extent(unit.first), last = extent(unit.second);
    double width = last.width - first.width;
    if (last.letters == first.letters) width += 0.1 * static_cast<double>(last.signs - first.signs);
    if (width < 0.1) width = 0.5;
    const bool on_one_line = last.breaks == first.breaks;
    const double area = (room_.area - before.width) / width, line = (room_.line - before.unbroken) / width;
    return static_cast<std::int64_t>(std::max(on_one_line ? std::min(area, line) : area, 1.0));
  }

  TextRoom room_;
  std::vector<Token> tokens_;
};

}  // namespace glmocr::engine
