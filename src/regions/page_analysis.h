// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <vector>

#include "regions/blocks.h"
#include "regions/split_page.h"

namespace glmocr::layout {

struct PageAnalysis {
  int factor = 1;             // pixels of the page per pixel of the analysis
  PageMeasures measures;      // of the reduced page
  std::vector<Block> blocks;  // in reading order
  bool has_surround = false;  // something dark beside the paper was seen
};

PageAnalysis analyse_page(const Image& page, const SplitOptions& options);

// Labels of text blocks: titles, headers, footers, page numbers, footnotes, captions, formulas.
void label_text(std::vector<Block>& blocks, const std::vector<Rule>& rules, const PageMeasures& page,
                const SplitOptions& options);

}  // namespace glmocr::layout
