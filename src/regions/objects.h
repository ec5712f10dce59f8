// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <vector>

#include "regions/blocks.h"
#include "regions/marks.h"
#include "regions/text_lines.h"

namespace glmocr::layout {

// Ruled tables: grids whose cells hold text and hardly any drawing, and columns between horizontal rules. Takes their lines
// from `lines`; `used` tells which rules belong to one.
std::vector<Block> take_tables(std::vector<TextLine>& lines, const std::vector<Mark>& drawings,
                               const std::vector<Rule>& rules, std::vector<char>& used,
                               const PageMeasures& page);

// Drawings, plots and photographs from marks too large for letters and from the rules that belong to no table. Marks among
// them that may be brackets are left in `drawings`.
std::vector<Block> find_figures(std::vector<Mark>& drawings, const std::vector<Rule>& rules,
                                const std::vector<char>& used, const std::vector<TextLine>& lines,
                                const PageMeasures& page);

// Gives figures the short text inside them and the labels of their axes.
void take_labels(std::vector<Block>& blocks, const PageMeasures& page);

}  // namespace glmocr::layout
