// SPDX-License-Identifier: Apache-2.0
#include "engine/repetition.h"

#include <algorithm>

namespace glmocr::engine {
namespace {

constexpr double kLeastWidth = 0.1;
constexpr double kUnseen = 0.5;     // the width of a unit of markup alone
constexpr double kSignWidth = 0.1;  // beyond what Extent::width counts, where signs are no markup
constexpr double kNoBound = 1e15;   // repeats

bool is_number(std::string_view bytes) {
  return !bytes.empty() &&
         std::all_of(bytes.begin(), bytes.end(), [](char c) { return c >= '0' && c <= '9'; });
}

}  // namespace

void RepetitionGuard::Run::extend(bool equal) {
  if (equal) {
    ++length;
  } else {
    *this = Run();
  }
}

std::optional<std::int64_t> RepetitionGuard::push(TokenId token, std::string_view bytes) {
  const std::int64_t at = std::ssize(tokens_);
  tokens_.push_back(token);
  extent_.add(bytes);
  extents_.push_back(extent_.total());
  for (int period = 1; period <= std::min<std::int64_t>(kLongestUnit, at); ++period) {
    token_runs_[period].extend(tokens_[at - period] == token);
  }
  const auto token_begin = [](std::int64_t i) { return i; };
  if (const auto keep = check(token_runs_, at + 1, token_begin)) return keep;

  if (extend_symbol(token, bytes)) return std::nullopt;
  const auto symbol_begin = [this](std::int64_t i) {
    return i < std::ssize(symbols_) ? symbols_[i].begin : open_->begin;
  };
  return check(symbol_runs_, std::ssize(symbols_), symbol_begin);
}

// Adds the token to the last symbol, or completes that one and begins another: false then.
bool RepetitionGuard::extend_symbol(TokenId token, std::string_view bytes) {
  const bool number = is_number(bytes);
  const TokenId kind = number ? kNumber : token;
  const bool extends = open_ && open_->token == kind;
  if (!extends) {
    if (open_) add_symbol(*open_);
    open_ = Symbol{.token = kind, .begin = std::ssize(tokens_) - 1};
  }
  for (std::size_t i = 0; number && i < bytes.size(); ++i) {
    open_->value = open_->value * 10 + static_cast<std::uint64_t>(bytes[i] - '0');
  }
  return extends;
}

void RepetitionGuard::add_symbol(const Symbol& symbol) {
  symbols_.push_back(symbol);
  for (int period = 1; period <= std::min<std::int64_t>(kLongestUnit, std::ssize(symbols_) - 1); ++period) {
    symbol_runs_[period].extend(counts_on(period));
  }
}

// Whether the last symbol is that of one period before, or a number that grows as it did before.
bool RepetitionGuard::counts_on(int period) const {
  const std::int64_t at = std::ssize(symbols_) - 1;
  const Symbol &last = symbols_[at], &before = symbols_[at - period];
  if (last.token != before.token) return false;
  if (last.token != kNumber) return true;
  if (at < 2 * period) return false;
  const Symbol& first = symbols_[at - 2 * period];
  return first.token == kNumber && last.value - before.value == before.value - first.value;
}

template <class Begin>
std::optional<std::int64_t> RepetitionGuard::check(Runs& runs, std::int64_t count, const Begin& begin) {
  const std::int64_t periods = std::min<std::int64_t>(kLongestUnit, count - 1);
  for (std::int64_t period = 1; period <= periods; ++period) {
    Run& run = runs[period];
    const std::int64_t items = run.length + period, start = count - items;
    if (items < kFewestRepeats * period || begin(count) - begin(start) < kFewestTokens) continue;
    // The shortest unit of the cycle; longer ones are multiples of it.
    if (run.most == kUnknown) {
      run.most = repeats_with_room(begin(start), begin(count - period), begin(count));
    }
    if (items / period <= run.most) return std::nullopt;
    const std::int64_t keep = begin(start + run.most * period);
    return begin(count) - keep < kPatience ? std::nullopt : std::optional(keep);
  }
  return std::nullopt;
}

// How often the unit of the tokens [unit, end) can stand behind the tokens before `start`.
std::int64_t RepetitionGuard::repeats_with_room(std::int64_t start, std::int64_t unit,
                                                std::int64_t end) const {
  const Extent &before = extents_[start], &first = extents_[unit], &last = extents_[end];
  double width = last.width - first.width;
  if (last.letters == first.letters) width += kSignWidth * static_cast<double>(last.signs - first.signs);
  if (width < kLeastWidth) width = kUnseen;
  double space = room_.area - before.width;
  if (last.breaks == first.breaks) space = std::min(space, room_.line - before.unbroken);
  return static_cast<std::int64_t>(std::clamp(space / width, 1.0, kNoBound));
}

}  // namespace glmocr::engine
