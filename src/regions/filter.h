// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <array>
#include <optional>
#include <span>
#include <vector>

#include "glmocr/region.h"

namespace glmocr {

// What a detector says about one place of a page.
struct Detection {
  RegionLabel label = RegionLabel::text;
  float score = 0;
  std::array<float, 4> box{};                 // x0, y0, x1, y1 in pixels, not clipped to the page
  int order = 0;                              // the rank in reading order
  std::optional<std::vector<Point>> polygon;  // in pixels; nullopt: none was found
};

// What happens to boxes of which one contains another.
enum class Containment {
  keep,   // nothing ("union")
  large,  // whatever lies in a box of this class is removed
  small,  // whatever contains a box of this class is removed
};

struct UnclipRatio {
  double width = 1, height = 1;
};

struct FilterOptions {
  // The answer of the official SDK (glmocr 0.1.5), quirks included: near twins of two classes remove each other, a box
  // around a reference is removed, a twin may get the other one's polygon, what is not read is dropped, and boxes and
  // polygons are what they are there before they become thousandths. Of equal scores the later comes first, of equal ranks
  // the one with the higher score; there that depends on the processor.
  bool compat = false;
  float threshold = 0.3f;
  std::array<std::optional<float>, kRegionLabels> class_thresholds;
  bool nms = true;
  std::array<Containment, kRegionLabels> containment = official_containment();
  // A class without a ratio keeps its boxes.
  std::array<std::optional<UnclipRatio>, kRegionLabels> unclip = same_unclip({});

  // "large" for all classes but `reference`.
  static std::array<Containment, kRegionLabels> official_containment();
  static std::array<std::optional<UnclipRatio>, kRegionLabels> same_unclip(UnclipRatio ratio);
};

// The regions of a page of that many pixels from a detector's answer, sorted by reading order. Removes what scores too
// low, doubles, pictures as large as the page, and what lies in another region. Boxes are clamped to the page and hold whole
// pixels. By default, better than the SDK: of near twins the better one stays, a reference leaves its container alone,
// polygons follow their own box, and headers, footers and the like stay, with the task `none`. Throws Error{usage} where
// the page has no size.
std::vector<Region> filter_regions(std::span<const Detection> detections, int width, int height,
                                   const FilterOptions& options = {});

// A box in thousandths of the page, x0 y0 x1 y1, truncated as in the SDK.
std::array<int, 4> in_thousandths(const Box& box, int width, int height);
std::array<int, 2> in_thousandths(const Point& point, int width, int height);

}  // namespace glmocr
