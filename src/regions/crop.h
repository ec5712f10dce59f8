// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "glmocr/image.h"
#include "glmocr/region.h"

namespace glmocr {

struct CropOptions {
  // The pixels that the official SDK cuts: edges are thousandths of the page, so they are truncated twice; no margin.
  bool compat = false;
  // White outside the polygon, where the region has one.
  bool use_polygon = false;
  // Pixels of the page on each side of the box, as far as there are any. Not in compat.
  int margin = 2;
};

// The part of the page in that region's box. Without pixels (0×0) where the box has none.
Image crop_region(const Image& page, const Region& region, const CropOptions& options = {});

// The picture with so many columns and rows more on each side, in the colour that most of its edge has. Readers lose signs
// that stand right at an edge.
Image framed(const Image& picture, int columns, int rows);

}  // namespace glmocr
