// SPDX-License-Identifier: Apache-2.0
// Arithmetic of boxes.
#pragma once
#include <algorithm>
#include <vector>

#include "glmocr/region.h"

namespace glmocr {

// What two spans have in common; the gap between them, if negative.
inline double common_length(double a0, double a1, double b0, double b1) {
  return std::min(a1, b1) - std::max(a0, b0);
}

inline double common_width(const Box& a, const Box& b) { return common_length(a.x0, a.x1, b.x0, b.x1); }
inline double common_height(const Box& a, const Box& b) { return common_length(a.y0, a.y1, b.y0, b.y1); }

inline double common_area(const Box& a, const Box& b) {
  const double width = common_width(a, b), height = common_height(a, b);
  return width > 0 && height > 0 ? width * height : 0;
}

inline double area(const Box& box) { return std::max(0.0, box.x1 - box.x0) * std::max(0.0, box.y1 - box.y0); }

// The smallest box that holds both.
inline Box united(const Box& a, const Box& b) {
  return {std::min(a.x0, b.x0), std::min(a.y0, b.y0), std::max(a.x1, b.x1), std::max(a.y1, b.y1)};
}

// Clockwise from the upper left one.
inline std::vector<Point> corners(const Box& box) {
  return {{box.x0, box.y0}, {box.x1, box.y0}, {box.x1, box.y1}, {box.x0, box.y1}};
}

// The polygon of a region; where it has none, the corners of its box.
inline std::vector<Point> outline(const Region& region) {
  return region.polygon.empty() ? corners(region.box) : region.polygon;
}

}  // namespace glmocr
