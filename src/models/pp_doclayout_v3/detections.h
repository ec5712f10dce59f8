// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <span>
#include <vector>

#include "glmocr/region.h"
#include "models/pp_doclayout_v3/config.h"

namespace glmocr::doclayout {

// What the network says of one page, in ordinary memory.
struct PageOutputs {
  int queries = 0, classes = 0, order_head = 0, prototypes = 0;
  int mask_width = 0, mask_height = 0;
  std::span<const float> logits;        // [queries, classes]
  std::span<const float> boxes;         // [queries, 4]: centre x and y, width and height, in 0 … 1
  std::span<const float> order_points;  // [queries, 2 · order_head]
  std::span<const float> mask_queries;  // [queries, prototypes]
  std::span<const float> masks;         // [mask_height, mask_width, prototypes]
};

// The place of each query in reading order: how many others stand before it, by the logits of the pairs i < j,
// query i · key j / √order_head. Equal votes: the lower index first.
std::vector<int> reading_ranks(const PageOutputs& page);

// The regions of a page of this size with at least this score, in reading order, as post_process_object_detection of
// transformers: boxes are not clipped, a query may give several labels, and the threshold is that of the masks too.
std::vector<Region> find_regions(const PageOutputs& page, const LayoutConfig& config, int width, int height,
                                 float threshold);

}  // namespace glmocr::doclayout
