// SPDX-License-Identifier: Apache-2.0
#include "document/page_ranges.h"

#include <algorithm>
#include <charconv>
#include <limits>
#include <sstream>
#include <string_view>

#include "base/error.h"

namespace glmocr {
namespace {

constexpr std::int64_t kOpen = std::numeric_limits<std::int64_t>::max();

std::int64_t parse_number(std::string_view word) {
  std::int64_t number = 0;
  const auto end = std::from_chars(word.data(), word.data() + word.size(), number);
  if (end.ec != std::errc() || end.ptr != word.data() + word.size() || number < 1) {
    fail(ErrorCode::usage, cat("\"", word, "\" is no page number; expected a list such as 1,3-5,8-"));
  }
  return number;
}

}  // namespace

PageRanges PageRanges::parse(const std::string& text) {
  PageRanges pages;
  pages.text_ = text;
  std::vector<Range> ranges;
  std::istringstream words(text);
  for (std::string word; std::getline(words, word, ',');) {
    const std::size_t dash = word.find('-');
    Range range{parse_number(std::string_view(word).substr(0, dash)), 0};
    range.last = range.first;
    if (dash != std::string::npos) {
      range.last = dash + 1 == word.size() ? kOpen : parse_number(std::string_view(word).substr(dash + 1));
    }
    if (range.last < range.first) fail(ErrorCode::usage, cat("\"", word, "\" runs backwards"));
    ranges.push_back(range);
  }
  if (ranges.empty() || text.ends_with(',')) parse_number("");
  std::sort(ranges.begin(), ranges.end(), [](const Range& a, const Range& b) { return a.first < b.first; });
  for (const Range& range : ranges) {
    if (!pages.ranges_.empty() && range.first <= pages.ranges_.back().last) {
      pages.ranges_.back().last = std::max(pages.ranges_.back().last, range.last);
    } else {
      pages.ranges_.push_back(range);
    }
  }
  return pages;
}

bool PageRanges::contains(std::int64_t page) const { return next(page, page) == page; }

std::int64_t PageRanges::next(std::int64_t page, std::int64_t count) const {
  if (ranges_.empty()) return page <= count ? page : 0;
  for (const Range& range : ranges_) {
    const std::int64_t first = std::max(page, range.first);
    if (first <= range.last) return first <= count ? first : 0;
  }
  return 0;
}

std::int64_t PageRanges::size(std::int64_t page, std::int64_t count) const {
  if (ranges_.empty()) return std::max<std::int64_t>(count - page + 1, 0);
  std::int64_t size = 0;
  for (const Range& range : ranges_) {
    size += std::max<std::int64_t>(std::min(range.last, count) - std::max(range.first, page) + 1, 0);
  }
  return size;
}

}  // namespace glmocr
