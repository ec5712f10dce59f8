// SPDX-License-Identifier: Apache-2.0
#include "formats/unicode_classes.h"

#include <algorithm>
#include <iterator>
#include <span>

namespace glmocr::formats {
namespace {

struct Range {
  char32_t first, last;
};

#include "formats/unicode_tables.inc"

bool contains(std::span<const Range> ranges, char32_t c) {
  const auto after = std::upper_bound(ranges.begin(), ranges.end(), c,
                                      [](char32_t c, const Range& r) { return c < r.first; });
  return after != ranges.begin() && c <= std::prev(after)->last;
}

}  // namespace

bool is_space(char32_t c) { return contains(kSpace, c); }
bool is_decimal(char32_t c) { return contains(kDecimal, c); }
bool is_alnum(char32_t c) { return contains(kAlnum, c); }
bool is_lower(char32_t c) { return contains(kLower, c); }
bool is_upper(char32_t c) { return contains(kUpper, c); }
bool is_wide(char32_t c) { return contains(kWide, c); }

}  // namespace glmocr::formats
