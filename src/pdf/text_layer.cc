// SPDX-License-Identifier: Apache-2.0
#include "pdf/text_layer.h"

#include <algorithm>
#include <cmath>

namespace glmocr {
namespace {

constexpr double kMostInvisible = 0.1, kMostUnknown = 0.05;  // of all characters
constexpr std::int64_t kFewHeights = 20;                     // pairs; of fewer nothing is concluded
constexpr double kMostWrongHeights = 0.4;
constexpr double kLeastInked = 0.9;    // of the words
constexpr double kLeastCovered = 0.2;  // of the page's ink
constexpr int kContrast = 48;          // of 255, between ink and what it is on
constexpr double kWordMargin = 0.25;   // around a word, in its height: for what is drawn beside its letters

// The page in square cells, and which of them have ink: light and dark close to each other.
class InkMap {
 public:
  InkMap(const Image& image, const Box& part, int cell) : cell_(cell) {
    x0_ = std::clamp(static_cast<int>(std::floor(part.x0)), 0, image.width);
    y0_ = std::clamp(static_cast<int>(std::floor(part.y0)), 0, image.height);
    const int x1 = std::clamp(static_cast<int>(std::ceil(part.x1)), x0_, image.width);
    const int y1 = std::clamp(static_cast<int>(std::ceil(part.y1)), y0_, image.height);
    columns_ = (x1 - x0_ + cell - 1) / cell;
    rows_ = (y1 - y0_ + cell - 1) / cell;
    inked_.resize(static_cast<std::size_t>(columns_) * static_cast<std::size_t>(rows_));
    std::vector<Range> ranges(static_cast<std::size_t>(columns_));
    for (int row = 0; row < rows_; ++row) {
      std::fill(ranges.begin(), ranges.end(), Range{});
      const int end = std::min(y0_ + (row + 1) * cell, y1);
      for (int y = y0_ + row * cell; y < end; ++y) add_row(image, y, x1, ranges);
      for (int column = 0; column < columns_; ++column) {
        const Range& range = ranges[static_cast<std::size_t>(column)];
        inked_[index(column, row)] = range.most - range.least >= kContrast;
      }
    }
  }

  std::int64_t inked() const { return std::count(inked_.begin(), inked_.end(), true); }

  // Whether any cell that the box touches has ink.
  bool has_ink(const Box& box) const {
    bool found = false;
    for_cells(box, [&](std::size_t i) { found = found || inked_[i]; });
    return found;
  }

  void erase(const Box& box) {
    for_cells(box, [&](std::size_t i) { inked_[i] = false; });
  }

 private:
  struct Range {
    int least = 255, most = 0;
  };

  std::size_t index(int column, int row) const {
    return static_cast<std::size_t>(row) * static_cast<std::size_t>(columns_) +
           static_cast<std::size_t>(column);
  }

  void add_row(const Image& image, int y, int x1, std::vector<Range>& ranges) const {
    const std::size_t begin = static_cast<std::size_t>(y) * static_cast<std::size_t>(image.width);
    for (int x = x0_; x < x1; ++x) {
      const std::uint8_t* pixel = &image.rgb[3 * (begin + static_cast<std::size_t>(x))];
      const int grey = (pixel[0] * 77 + pixel[1] * 151 + pixel[2] * 28) >> 8;
      Range& range = ranges[static_cast<std::size_t>((x - x0_) / cell_)];
      range.least = std::min(range.least, grey);
      range.most = std::max(range.most, grey);
    }
  }

  template <class Use>
  void for_cells(const Box& box, Use use) const {
    const auto cell_of = [this](double at, int origin, int count) {
      return std::clamp(static_cast<int>(std::floor((at - origin) / cell_)), 0, count - 1);
    };
    if (box.x1 < x0_ || box.y1 < y0_ || box.x0 > x0_ + columns_ * cell_ || box.y0 > y0_ + rows_ * cell_)
      return;
    if (columns_ == 0 || rows_ == 0) return;
    const int right = cell_of(box.x1, x0_, columns_), bottom = cell_of(box.y1, y0_, rows_);
    for (int row = cell_of(box.y0, y0_, rows_); row <= bottom; ++row) {
      for (int column = cell_of(box.x0, x0_, columns_); column <= right; ++column) use(index(column, row));
    }
  }

  int cell_, x0_ = 0, y0_ = 0, columns_ = 0, rows_ = 0;
  std::vector<bool> inked_;
};

// A third of the height of a usual word; 8 pixels where there are none.
int cell_size(const TextLayer& layer) {
  std::vector<double> heights;
  for (const PlacedText& line : layer.lines) {
    for (const PlacedText& word : line.words) heights.push_back(word.box.y1 - word.box.y0);
  }
  if (heights.empty()) return 8;
  const auto middle = heights.begin() + std::ssize(heights) / 2;
  std::nth_element(heights.begin(), middle, heights.end());
  return std::clamp(static_cast<int>(*middle / 3), 3, 64);
}

Box with_margin(const Box& box) {
  const double margin = kWordMargin * std::min(box.y1 - box.y0, box.x1 - box.x0);
  return {box.x0 - margin, box.y0 - margin, box.x1 + margin, box.y1 + margin};
}

struct Agreement {
  double inked_words = 1, covered = 1;
};

Agreement compare(const TextLayer& layer, const Image& image, const Box& part) {
  InkMap map(image, part, cell_size(layer));
  const std::int64_t all = map.inked();
  std::int64_t letters = 0, inked = 0;
  for (const PlacedText& line : layer.lines) {
    for (const PlacedText& word : line.words) {
      letters += std::ssize(word.text);
      if (map.has_ink(word.box)) inked += std::ssize(word.text);
    }
  }
  for (const PlacedText& line : layer.lines) {
    for (const PlacedText& word : line.words) map.erase(with_margin(word.box));
  }
  Agreement result;
  if (letters > 0) result.inked_words = static_cast<double>(inked) / static_cast<double>(letters);
  if (all > 0) result.covered = static_cast<double>(all - map.inked()) / static_cast<double>(all);
  return result;
}

bool letters_are_known(const TextQuality& quality) {
  const auto at_most = [](std::int64_t count, double share, std::int64_t all) {
    return static_cast<double>(count) <= share * static_cast<double>(all);
  };
  return quality.complete && at_most(quality.invisible, kMostInvisible, quality.characters) &&
         at_most(quality.unmapped + quality.unprintable, kMostUnknown, quality.characters) &&
         (quality.height_pairs < kFewHeights ||
          at_most(quality.wrong_heights, kMostWrongHeights, quality.height_pairs));
}

Box whole(const Image& image) { return {0, 0, image.width * 1.0, image.height * 1.0}; }

}  // namespace

bool text_layer_agrees(const TextLayer& layer, const Image& image) {
  if (layer.width != image.width || layer.height != image.height || !letters_are_known(layer.quality))
    return false;
  const Agreement found = compare(layer, image, whole(image));
  return found.inked_words >= kLeastInked && found.covered >= kLeastCovered;
}

double covered_ink(const TextLayer& layer, const Image& image, const Box& part) {
  return compare(layer, image, part).covered;
}

}  // namespace glmocr
