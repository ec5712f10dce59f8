// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <span>
#include <vector>

#include "glmocr/image.h"
#include "glmocr/region.h"

namespace glmocr {

struct SplitOptions {
  // Pixels that boxes are wider on each side than what they hold, at the least; more where letters are large.
  int margin = 4;
  // Recognise headers, footers and page numbers by their place. Off: they are text.
  bool page_furniture = true;
};

// The regions of a page in reading order, found by classical means: white space, rules and the heights of letters. Boxes
// lie inside the page and hold whole pixels; labels, boxes, tasks and scores are set. Everything that can be seen and is
// larger than noise lies in some region: what is not recognised is text. A page without ink has no regions. Takes time
// linear in the pixels, and memory below 4 bytes per pixel, at most some 32 MiB.
std::vector<Region> split_page(const Image& page, const SplitOptions& options = {});

// The regions that were given, in their order, with edges that do not cut through lines of text, and text regions for
// whatever none of them covers, each put at its place in that order. For a detector's answer after filter_regions.
std::vector<Region> uncovered_text(const Image& page, std::span<const Region> regions,
                                   const SplitOptions& options = {});

}  // namespace glmocr
