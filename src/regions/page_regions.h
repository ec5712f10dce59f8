// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "regions/page_analysis.h"

namespace glmocr::layout {

// A box of the analysis in pixels of the page, larger by a margin on each side, as far as the page goes.
Box page_box(const Rect& rect, const PageAnalysis& analysis, const Image& page, int margin);

Region region_of(const Block& block, const PageAnalysis& analysis, const Image& page,
                 const SplitOptions& options);

}  // namespace glmocr::layout
