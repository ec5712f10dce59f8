// SPDX-License-Identifier: Apache-2.0
// The levels of headings, from their numbers and the heights of their letters. Needs all pages: collect first, write then.
#pragma once
#include <cstdint>
#include <map>
#include <string_view>

#include "glmocr/region.h"

namespace glmocr::formats {

// What the headings of a document have in common. "2.1 Method" is of level 3 where headings are numbered so; others are of
// level 2, or 3 if their letters are small beside those of other headings.
class HeadingLevels {
 public:
  HeadingLevels() = default;  // doc_title is 1, paragraph_title 2

  // 1 … 6 for a doc_title or paragraph_title, 0 for other regions.
  int level(const Region& region, const DocumentPage& page) const;

 private:
  friend class HeadingHeights;
  bool numbered_ = false;
  double second_level_ = 0;  // height of letters, relative to the page, below which a heading is of level 3
};

// Collects the heights of headings. Takes the memory of a histogram, whatever the number of pages.
class HeadingHeights {
 public:
  void add(const DocumentPage& page);

  // Numbers count if there are two of them, one with a dot inside; heights if they fall into two groups.
  HeadingLevels levels() const;

 private:
  std::int64_t numbered_ = 0, deep_ = 0;  // headings with a number, with one of several parts
  std::map<int, std::int64_t> counts_;    // of headings, by logarithm of the height
};

// The height of a region's letters with ascenders and descenders, in pixels: the median of its lines, or an estimate from
// its box and text.
double letter_height(const Region& region);

// The parts of the number that a heading begins with: 2 for "2.1 Method" and "A.1 Proofs", 0 where it has none.
int number_depth(std::string_view heading);

}  // namespace glmocr::formats
