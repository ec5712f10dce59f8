// SPDX-License-Identifier: Apache-2.0
#include "formats/headings.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <string_view>
#include <vector>

#include "formats/text_width.h"

namespace glmocr::formats {
namespace {

constexpr double kStepsPerOctave = 24;  // of the histogram: steps of 3 %
constexpr int kSeparated = 5;           // steps between two groups of heights: 15 %

// What letters take of their size, above the line and below it.
constexpr double kTall = 0.70, kLow = 0.47, kBelow = 0.21, kSquare = 0.90;

// Relative to the longer side, so that pages of a document may lie on their side.
double relative_height(const Region& region, const DocumentPage& page) {
  const int side = std::max(page.width, page.height);
  return side > 0 ? letter_height(region) / side : 0;
}

bool is_heading(const Region& region) {
  return region.label == RegionLabel::paragraph_title && region.content && region.box.y1 > region.box.y0;
}

// The height of a line of print, as a share of the size of its letters: "no one" is lower than "Why".
double ink_share(std::string_view text) {
  constexpr std::string_view kTallLetters = "bdfhklt!?()[]{}/'\"$&%#";
  constexpr std::string_view kBelowLetters = "gjpqyQ()[]{},;/$";
  double above = kLow, below = 0;
  for (const char c : text) {
    if (static_cast<unsigned char>(c) >= 0x80) return kSquare;  // letters of other scripts, or with accents
    if ((c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || kTallLetters.find(c) != kTallLetters.npos)
      above = kTall;
    if (kBelowLetters.find(c) != kBelowLetters.npos) below = kBelow;
  }
  return above + below;
}

}  // namespace

double letter_height(const Region& region) {
  std::vector<double> heights;
  for (const PlacedText& line : region.lines)
    heights.push_back((line.box.y1 - line.box.y0) / ink_share(line.text));
  if (heights.empty()) {
    const std::string text = region.content.value_or("");
    const double height = region.box.y1 - region.box.y0;
    return height / estimated_lines(text, region.box) / ink_share(text);
  }
  const auto middle = heights.begin() + std::ssize(heights) / 2;
  std::nth_element(heights.begin(), middle, heights.end());
  return *middle;
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
