// SPDX-License-Identifier: Apache-2.0
#include "regions/order_regions.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/box.h"

namespace glmocr {
namespace {

// They have about the same sides, the same left side, or the same middle.
bool in_one_column(const Box& a, const Box& b, double slack) {
  constexpr double kSame = 0.7;
  return common_width(a, b) >= kSame * std::max(a.x1 - a.x0, b.x1 - b.x0) || std::abs(a.x0 - b.x0) <= slack ||
         std::abs(a.x0 + a.x1 - b.x0 - b.x1) <= slack;
}

// By more than half the height of the lower one, so that boxes may overlap a little.
bool lies_above(const Box& a, const Box& b) { return a.y0 < b.y0 && a.y1 < (b.y0 + b.y1) / 2; }

}  // namespace

std::vector<Region> columns_from_above(std::vector<Region> regions, int page_width) {
  constexpr double kSlackOfWidth = 0.01;
  std::vector<Region> ordered;
  for (Region& region : regions) {
    const auto place = std::find_if(ordered.begin(), ordered.end(), [&](const Region& other) {
      return in_one_column(region.box, other.box, kSlackOfWidth * page_width) &&
             lies_above(region.box, other.box);
    });
    ordered.insert(place, std::move(region));
  }
  return ordered;
}

}  // namespace glmocr
