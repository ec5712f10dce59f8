// SPDX-License-Identifier: Apache-2.0
#include "image/inked_area.h"

#include <algorithm>
#include <vector>

#include "base/numbers.h"

namespace glmocr {
namespace {

constexpr int kLeastContrast = 12;  // between the lightest and the darkest pixel of a square, of 255

struct Range {
  int low = 255, high = 0;
};

}  // namespace

std::int64_t inked_area(const Image& image, int square) {
  std::vector<Range> ranges(divide_up(image.width, square));
  std::int64_t area = 0;
  for (int top = 0; top < image.height; top += square) {
    const int bottom = std::min(image.height, top + square);
    std::fill(ranges.begin(), ranges.end(), Range());
    for (int y = top; y < bottom; ++y) {
      const std::uint8_t* pixel = &image.rgb[3 * std::int64_t{y} * image.width];
      for (int x = 0; x < image.width; ++x, pixel += 3) {
        Range& range = ranges[x / square];
        const int grey = (pixel[0] + pixel[1] + pixel[2]) / 3;
        range.low = std::min(range.low, grey);
        range.high = std::max(range.high, grey);
      }
    }
    for (int i = 0; i < std::ssize(ranges); ++i) {
      if (ranges[i].high - ranges[i].low < kLeastContrast) continue;
      area += std::int64_t{bottom - top} * (std::min(image.width, (i + 1) * square) - i * square);
    }
  }
  return area;
}

}  // namespace glmocr
