// SPDX-License-Identifier: Apache-2.0
#include "formats/headings.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "formats/text_width.h"

namespace glmocr::formats {
namespace {

constexpr double kStepsPerOctave = 24;  // of the histogram: steps of 3 %
constexpr int kSeparated = 6;           // steps between two groups of heights: 19 %
constexpr double kWithoutDescenders =
    0.88;                         // of the height with them: between tight boxes and those with a margin
constexpr double kSpacing = 1.2;  // from line to line, in heights of letters
constexpr int kDeepestLevel = 6;

// How high letters with descenders were in a line of this height.
double full_height(double height, std::string_view text) {
  const bool descenders = text.find_first_of("gjpqyQ,;()[]{}|/") != std::string_view::npos;
  const bool latin =
      std::all_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x80; });
  return descenders || !latin ? height : height / kWithoutDescenders;
}

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
  for (const PlacedText& line : region.lines)
    heights.push_back(full_height(line.box.y1 - line.box.y0, line.text));
  if (heights.empty()) {
    const std::string text = region.content.value_or("");
    const int lines = estimated_lines(text, region.box);
    const double height = (region.box.y1 - region.box.y0) / (1 + kSpacing * (lines - 1));
    return lines > 1 ? height : full_height(height, text);
  }
  const auto middle = heights.begin() + std::ssize(heights) / 2;
  std::nth_element(heights.begin(), middle, heights.end());
  return *middle;
}

int number_depth(std::string_view heading) {
  constexpr std::size_t kLongestPart = 2;  // digits: "2024 in figures" has no number
  heading.remove_prefix(std::min(heading.find_first_not_of("# "), heading.size()));
  int depth = 0;
  for (;;) {
    const bool letter =
        depth == 0 && heading.size() > 2 && heading[0] >= 'A' && heading[0] <= 'Z' && heading[1] == '.';
    const std::size_t part = letter ? 1 : std::min(heading.find_first_not_of("0123456789"), heading.size());
    if (part > kLongestPart) return 0;
    if (part == 0) break;
    ++depth;
    heading.remove_prefix(part);
    if (!heading.starts_with('.')) break;
    heading.remove_prefix(1);
  }
  return heading.starts_with(' ') ? depth : 0;
}

int HeadingLevels::level(const Region& region, const DocumentPage& page) const {
  if (region.label == RegionLabel::doc_title) return 1;
  if (region.label != RegionLabel::paragraph_title) return 0;
  const int depth = numbered_ ? number_depth(region.content.value_or("")) : 0;
  if (depth > 0) return std::min(1 + depth, kDeepestLevel);
  return relative_height(region, page) < second_level_ ? 3 : 2;
}

void HeadingHeights::add(const DocumentPage& page) {
  for (const Region& region : page.regions) {
    if (!is_heading(region)) continue;
    const int depth = number_depth(*region.content);
    if (depth > 0) ++numbered_;
    if (depth > 1) ++deep_;
    const double height = relative_height(region, page);
    if (height > 0) ++counts_[static_cast<int>(std::lround(std::log2(height) * kStepsPerOctave))];
  }
}

HeadingLevels HeadingHeights::levels() const {
  HeadingLevels levels;
  levels.numbered_ = numbered_ > 1 && deep_ > 0;
  int widest = 0, boundary = 0;
  for (auto low = counts_.begin(); low != counts_.end(); ++low) {
    const auto high = std::next(low);
    if (high == counts_.end() || high->first - low->first <= widest) continue;
    widest = high->first - low->first;
    boundary = high->first + low->first;
  }
  if (widest >= kSeparated) levels.second_level_ = std::exp2(boundary / 2.0 / kStepsPerOctave);
  return levels;
}

}  // namespace glmocr::formats
