// SPDX-License-Identifier: Apache-2.0
// The levels of headings, from the heights of their letters. Needs all pages: collect first, write then.
#pragma once
#include <cstdint>
#include <map>

#include "glmocr/region.h"

namespace glmocr::formats {

// From which height of letters, relative to the page, a heading is one of a higher level.
class HeadingLevels {
 public:
  HeadingLevels() = default;  // doc_title is 1, paragraph_title 2

  // 1 … 3 for a doc_title or paragraph_title, 0 for other regions.
  int level(const Region& region, const DocumentPage& page) const;

 private:
  friend class HeadingHeights;
  explicit HeadingLevels(double second_level) : second_level_(second_level) {}
  double second_level_ = 0;  // a paragraph_title below this height is of level 3
};

// Collects the heights of headings. Takes the memory of a histogram, whatever the number of pages.
class HeadingHeights {
 public:
  void add(const DocumentPage& page);

  // Two levels of paragraph_title where the heights fall into two groups, one otherwise.
  HeadingLevels levels() const;

 private:
  std::map<int, std::int64_t> counts_;  // of headings, by logarithm of the height
};

// The height of a region's letters in pixels: the median of its lines' boxes, or an estimate from its box and text.
double letter_height(const Region& region);

}  // namespace glmocr::formats
