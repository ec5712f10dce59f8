// SPDX-License-Identifier: Apache-2.0
#include "document/page_ranges.h"

#include <gtest/gtest.h>

#include "support/expect_error.h"

namespace glmocr {
namespace {

// The pages of a document that are selected.
std::vector<std::int64_t> selected(const PageRanges& ranges, std::int64_t count) {
  std::vector<std::int64_t> pages;
  for (std::int64_t page = ranges.next(1, count); page != 0; page = ranges.next(page + 1, count))
    pages.push_back(page);
  return pages;
}
std::vector<std::int64_t> selected(const std::string& text, std::int64_t count) {
  return selected(PageRanges::parse(text), count);
}

using Numbers = std::vector<std::int64_t>;

TEST(PageRanges, NumbersAndRanges) {
  EXPECT_EQ(selected(PageRanges(), 3), (Numbers{1, 2, 3}));
  EXPECT_EQ(selected("2", 3), (Numbers{2}));
  EXPECT_EQ(selected("1,3-5", 9), (Numbers{1, 3, 4, 5}));
  EXPECT_EQ(selected("3-", 5), (Numbers{3, 4, 5}));
  EXPECT_EQ(selected("2-2", 5), (Numbers{2}));
  EXPECT_EQ(selected("4-9", 5), (Numbers{4, 5}));
  EXPECT_EQ(selected("7", 5), Numbers{});
}

TEST(PageRanges, ComeInTheOrderOfTheDocumentAndOnce) {
  EXPECT_EQ(selected("5,1-3,2,3-4", 9), (Numbers{1, 2, 3, 4, 5}));
  EXPECT_EQ(selected("4-,2,6-7", 6), (Numbers{2, 4, 5, 6}));
}

TEST(PageRanges, CountsWhatIsLeft) {
  const PageRanges ranges = PageRanges::parse("2,4-6,9-");
  EXPECT_EQ(ranges.size(1, 10), 6);
  EXPECT_EQ(ranges.size(5, 10), 4);
  EXPECT_EQ(ranges.size(7, 8), 0);
  EXPECT_EQ(PageRanges().size(3, 10), 8);
  EXPECT_EQ(PageRanges().size(11, 10), 0);
}

TEST(PageRanges, WhatIsNoListIsRefused) {
  for (const char* text : {"", "0", "-1", "-", "a", "1,", ",1", "1,,2", "1-0", "3-2", "1.5", " 1", "1-2-3",
                           "0x1", "99999999999999999999"}) {
    expect_error(ErrorCode::usage, {}, [&] { PageRanges::parse(text); });
  }
  expect_error(ErrorCode::usage, {"\"x\" is no page number; expected a list such as 1,3-5,8-"},
               [] { PageRanges::parse("1,x"); });
  expect_error(ErrorCode::usage, {"\"3-2\" runs backwards"}, [] { PageRanges::parse("1,3-2"); });
}

}  // namespace
}  // namespace glmocr
