// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <vector>

#include "glmocr/region.h"

namespace glmocr::doclayout {

// A picture of one bit per pixel, rows from the top.
struct Mask {
  int width = 0, height = 0;
  std::vector<std::uint8_t> set;  // 0 or 1

  bool at(int x, int y) const {
    return x >= 0 && y >= 0 && x < width && y < height && set[std::int64_t{y} * width + x] != 0;
  }
};

struct GridPoint {
  int x = 0, y = 0;
  bool operator==(const GridPoint&) const = default;
};

// The outlines of the connected (by side or corner) parts of a mask, without holes: the corners only, anticlockwise
// as seen, from the part's first pixel in reading order. As OpenCV's findContours with RETR_EXTERNAL and
// CHAIN_APPROX_SIMPLE; in the order of the first pixels, which OpenCV turns round.
std::vector<std::vector<GridPoint>> outlines(const Mask& mask);

// Half the sum of cross products, without its sign: contourArea.
double outline_area(const std::vector<GridPoint>& outline);

// Fewer corners that stay within epsilon of a closed outline: approxPolyDP of OpenCV 4.13 (distances to segments).
std::vector<GridPoint> simplify(const std::vector<GridPoint>& outline, double epsilon);

// The polygon of a mask as transformers' image processor makes it: the largest outline, simplified, its convex
// corners. Empty where fewer than four are left or nothing is set.
std::vector<Point> mask_polygon(const Mask& mask);

}  // namespace glmocr::doclayout
