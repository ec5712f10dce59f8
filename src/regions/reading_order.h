// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <vector>

#include "regions/marks.h"

namespace glmocr::layout {

// The boxes of a page in the order in which they are read: from above, columns one after the other, from the left. What spans
// columns is read where it stands between them. `slack` is how far, in pixels, boxes may overlap and yet stand apart.
std::vector<int> reading_order(const std::vector<Rect>& boxes, int slack);

}  // namespace glmocr::layout
