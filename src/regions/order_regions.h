// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <vector>

#include "glmocr/region.h"

namespace glmocr {

// A detector's order, but that of two regions of one column the upper one comes first.
std::vector<Region> columns_from_above(std::vector<Region> regions, int page_width);

}  // namespace glmocr
