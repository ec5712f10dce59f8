// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <vector>

#include "formats/options.h"
#include "glmocr/region.h"

namespace glmocr::formats {

// The lines of a region with their words, each at its place: as they are known, or spread over the box by the widths of
// their letters, as many lines as the text takes there. Vertical text runs downwards, its lines from right to left. No line
// and no word is empty; nothing is left out. Boxes lie within the page.
std::vector<PlacedText> placed_lines(const DocumentPage& page, std::size_t index,
                                     const FormatOptions& options);

// The part of a box that lies on the page.
Box on_page(const Box& box, const DocumentPage& page);

// How sure the words of a region are, 0 … 1: the geometric mean of its tokens' probabilities; 1 for text of the document.
double word_confidence(const Region& region);

}  // namespace glmocr::formats
