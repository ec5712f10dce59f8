// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <vector>

#include "glmocr/region.h"
#include "regions/marks.h"
#include "regions/text_lines.h"

namespace glmocr::layout {

// A paragraph, a table, a drawing.
struct Block {
  Rect box;
  RegionLabel label = RegionLabel::text;
  std::vector<TextLine> lines;  // from above; of text that was found as such
  int braces = 0;               // tall marks among the lines, such as large brackets
};

// What is known of a page while its blocks are found.
struct PageMeasures {
  int width = 0, height = 0;
  int letter_height = 0;
  int pitch = 0;  // from one baseline to the next in most text; 0: not known
};

// The usual distance of baselines, for lines sorted by theirs.
int usual_pitch(const std::vector<TextLine>& lines, int letter_height);

// Lines that follow each other closely in one column, in letters of one size and weight; paragraphs are told apart by the
// space between them, and by indents where the text is justified. Rules that run between lines separate them.
std::vector<Block> find_blocks(std::vector<TextLine> lines, const std::vector<Rule>& rules,
                               const PageMeasures& page);

// Makes one block of what stands side by side and belongs to one row after the other: tables without rules, lists with
// their numbers, programs with comments at the right, contents with page numbers.
void join_rows(std::vector<Block>& blocks, const PageMeasures& page);

// Makes one block of the parts of a formula or a line that overlap or nearly touch.
void join_overlaps(std::vector<Block>& blocks, const PageMeasures& page);

// One block of two.
Block joined(Block a, Block b);

}  // namespace glmocr::layout
