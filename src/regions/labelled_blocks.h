// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <span>
#include <vector>

#include "glmocr/region.h"

namespace glmocr {

// The blocks of split_page with the labels of a detector's regions (after filter_regions). Boxes and order stay those of the
// blocks, whose edges cut no line and which leave nothing out; but blocks that lie in one table, formula or program become
// one, and likewise what lies in a picture that has a drawing among its blocks.
std::vector<Region> labelled_blocks(std::vector<Region> blocks, std::span<const Region> detected);

}  // namespace glmocr
