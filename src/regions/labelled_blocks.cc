// SPDX-License-Identifier: Apache-2.0
#include "regions/labelled_blocks.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/box.h"

namespace glmocr {
namespace {

constexpr float kSure = 0.5f;      // the least score of a region whose label is taken
constexpr float kSurer = 0.6f;     // the same where blocks are joined
constexpr double kInside = 0.6;    // share of a block in a region to which it belongs
constexpr double kFills = 0.5;     // share of a region that a block takes to get its label
constexpr double kDrawing = 0.25;  // share of a picture that a block takes, to be its drawing

bool is_picture(const Region& region) { return region.task == RegionTask::picture; }

// Of these the parts make no sense by themselves.
bool is_one_piece(const Region& region) {
  return region.label == RegionLabel::table || region.label == RegionLabel::display_formula ||
         region.label == RegionLabel::algorithm || is_picture(region);
}

bool lies_in(const Region& block, const Region& region) {
  return common_area(block.box, region.box) >= kInside * area(block.box);
}

void take_label(Region& block, const Region& region) {
  block.label = region.label;
  block.task = region.task;
  block.score = region.score;
}

bool nearly_holds(const Box& outer, const Box& inner) {
  const double slack = 0.25 * (outer.y1 - outer.y0);
  return outer.x0 - slack <= inner.x0 && outer.y0 - slack <= inner.y0 && outer.x1 + slack >= inner.x1 &&
         outer.y1 + slack >= inner.y1;
}

// Joins the blocks that lie in a region, at the place of the first.
void join_inside(std::vector<Region>& blocks, const Region& region) {
  const auto inside = [&](const Region& block) { return lies_in(block, region); };
  const auto drawing = [&](const Region& block) {
    return inside(block) && is_picture(block) && area(block.box) >= kDrawing * area(region.box);
  };
  if (is_picture(region) && std::none_of(blocks.begin(), blocks.end(), drawing)) return;
  const auto first = std::find_if(blocks.begin(), blocks.end(), inside);
  if (first == blocks.end()) return;
  for (auto block = std::next(first); block != blocks.end(); ++block) {
    if (inside(*block)) first->box = united(first->box, block->box);
  }
  blocks.erase(std::remove_if(std::next(first), blocks.end(), inside), blocks.end());
  if (region.label == RegionLabel::display_formula && nearly_holds(region.box, first->box))
    first->box = region.box;  // close around it: formulas are read better without margins
  take_label(*first, region);
}

// The region whose label a block gets: that which it shares most with, if each is a large part of the other.
const Region* partner(const Region& block, std::span<const Region> detected) {
  const Region* best = nullptr;
  double most = 0;
  for (const Region& region : detected) {
    const double common = common_area(block.box, region.box);
    if (region.score < kSure || is_one_piece(region) || common <= most) continue;
    if (common < kInside * area(block.box) || common < kFills * area(region.box)) continue;
    most = common;
    best = &region;
  }
  return best;
}

}  // namespace

std::vector<Region> labelled_blocks(std::vector<Region> blocks, std::span<const Region> detected) {
  for (const Region& region : detected) {
    if (region.score >= kSurer && is_one_piece(region)) join_inside(blocks, region);
  }
  for (Region& block : blocks) {
    if (is_one_piece(block)) continue;
    if (const Region* region = partner(block, detected)) take_label(block, *region);
  }
  return blocks;
}

}  // namespace glmocr
