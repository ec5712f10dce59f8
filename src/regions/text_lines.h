// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <vector>

#include "regions/marks.h"

namespace glmocr::layout {

// A line of text, or the part of one that lies in a column.
struct TextLine {
  Rect box;
  int baseline = 0;       // the bottom of most letters
  int letter_height = 0;  // of letters that rise above the line
  int low_height = 0;     // of letters that do not
  int letters = 0;
  int letters_width = 0;    // the sum of their widths
  double stroke = 0;        // thickness of the strokes of most letters, in pixels
  double even_pitch = 0;    // the share of letters whose distance to the next is the usual one
  int widest_gap = 0;       // between neighbouring letters
  int tallest = 0;          // the height of the tallest mark
  std::vector<Rect> words;  // the pieces it was joined from, from the left
};

// The lines of these marks. `height` is that of most letters. White corridors, which run down over several lines, separate
// columns. Vertical rules separate too.
std::vector<TextLine> find_lines(const std::vector<Mark>& marks, const std::vector<Rule>& rules, int height,
                                 int width, int page_height);

}  // namespace glmocr::layout
