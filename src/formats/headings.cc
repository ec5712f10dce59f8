// SPDX-License-Identifier: Apache-2.0
#include "formats/headings.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "formats/text_width.h"

namespace glmocr::formats {
namespace {

constexpr double kStepsPerOctave = 24;  // of the histogram: steps of 3 %
constexpr int kSeparated = 5;           // steps between two groups of heights: 15 %
constexpr double kLetterShare = 0.6;    // of the height of a line's box

// Relative to the longer side, so that pages of a document may lie on their side.
double relative_height(const Region& region, const DocumentPage& page) {
  const int side = std::max(page.width, page.height);
  return side > 0 ? letter_height(region) / side : 0;
}

bool is_heading(const Region& region) {
  return region.label == RegionLabel::paragraph_title && region.content && region.box.y1 > region.box.y0;
}

}  // namespace

double letter_height(const Region& region) {
  std::vector<double> heights;
  for (const PlacedText& line : region.lines) heights.push_back(line.box.y1 - line.box.y0);
  if (heights.empty()) {
    const double height = region.box.y1 - region.box.y0;
    return kLetterShare * height / estimated_lines(region.content.value_or(""), region.box);
  }
  const auto middle = heights.begin() + std::ssize(heights) / 2;
  std::nth_element(heights.begin(), middle, heights.end());
  return kLetterShare * *middle;
}

int HeadingLevels::level(const Region& region, const DocumentPage& page) const {
  if (region.label == RegionLabel::doc_title) return 1;
  if (region.label != RegionLabel::paragraph_title) return 0;
  return relative_height(region, page) < second_level_ ? 3 : 2;
}

void HeadingHeights::add(const DocumentPage& page) {
  for (const Region& region : page.regions) {
    if (!is_heading(region)) continue;
    const double height = relative_height(region, page);
    if (height > 0) ++counts_[static_cast<int>(std::lround(std::log2(height) * kStepsPerOctave))];
  }
}

HeadingLevels HeadingHeights::levels() const {
  int widest = 0, boundary = 0;
  for (auto low = counts_.begin(); low != counts_.end(); ++low) {
    const auto high = std::next(low);
    if (high == counts_.end() || high->first - low->first <= widest) continue;
    widest = high->first - low->first;
    boundary = high->first + low->first;
  }
  if (widest < kSeparated) return {};
  return HeadingLevels(std::exp2(boundary / 2.0 / kStepsPerOctave));
}

}  // namespace glmocr::formats
