// SPDX-License-Identifier: Apache-2.0
// Ink is what is darker than its surroundings (lighter, on dark paper). Letters are made of strokes, and the
// long vertical ones are about as high as the letters: each pixel of ink votes with the length of the
// vertical stroke it belongs to, and a high quantile of the votes gives the height. There is no analysis of
// layout or of connected components, so skewed or touching letters do no harm.
#include "image/letter_height.h"

#include <algorithm>
#include <array>
#include <cstdint>

namespace glmocr {
namespace {

constexpr int kWindow = 12;  // the surroundings extend this many pixels to each side
constexpr int kLeastInkContrast = 12;
constexpr int kLongestStroke = 64;  // longer ones are rules
constexpr int kFewestStrokes = 20;
constexpr int kLongOfMedianStroke = 3;   // at most, on pages of letters of one height
constexpr int kLongestOfThickness = 10;  // thinner strokes may be rules
constexpr double kLetterOfStroke = 1.4;  // fitted on generated pictures in 60 typefaces

using Bytes = std::vector<std::uint8_t>;  // [height, width]

// The mean of the channels: what a model trained on grey pictures sees.
Bytes to_grey(const Image& image) {
  Bytes grey(image.rgb.size() / 3);
  for (std::int64_t i = 0; i < std::ssize(grey); ++i) {
    const std::uint8_t* pixel = &image.rgb[3 * i];
    grey[i] = (pixel[0] + pixel[1] + pixel[2]) / 3;
  }
  return grey;
}

// The smallest index at which the sum of the histogram reaches `share` of the total.
template <std::size_t n>
int quantile(const std::array<std::int64_t, n>& histogram, double share) {
  std::int64_t total = 0;
  for (const std::int64_t count : histogram) total += count;
  std::int64_t so_far = 0;
  for (int i = 0; i < std::ssize(histogram); ++i) {
    so_far += histogram[i];
    if (so_far >= share * total) return i;
  }
  return std::ssize(histogram) - 1;
}

std::array<std::int64_t, 256> histogram_of(const Bytes& values) {
  std::array<std::int64_t, 256> histogram{};
  for (const std::uint8_t value : values) ++histogram[value];
  return histogram;
}

// By how much each pixel is darker than the mean of its surroundings (lighter, on dark paper), or 0.
Bytes contrast_of(const Bytes& grey, int height, int width) {
  const bool dark_paper = quantile(histogram_of(grey), 0.5) < 128;
  Bytes contrast(grey.size());
  std::vector<std::int32_t> columns(width);  // sums over the rows of the window
  std::vector<std::int64_t> before(width + 1);
  const auto row = [&](int y) { return &grey[std::int64_t{y} * width]; };
  for (int y = 0; y < std::min(kWindow, height); ++y) {
    for (int x = 0; x < width; ++x) columns[x] += row(y)[x];
  }
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      if (y + kWindow < height) columns[x] += row(y + kWindow)[x];
      if (y - kWindow > 0) columns[x] -= row(y - kWindow - 1)[x];
      before[x + 1] = before[x] + columns[x];
    }
    const int rows = std::min(height, y + kWindow + 1) - std::max(0, y - kWindow);
    for (int x = 0; x < width; ++x) {
      const int left = std::max(0, x - kWindow);
      const int right = std::min(width, x + kWindow + 1);
      const int mean = (before[right] - before[left]) / (rows * (right - left));
      const int darker = dark_paper ? row(y)[x] - mean : mean - row(y)[x];
      contrast[std::int64_t{y} * width + x] = std::max(0, darker);
    }
  }
  return contrast;
}

enum class Strokes { all, thick };

// How many vertical strokes of each length there are; [0], [1] (specks) and longer ones are not counted, and of the thick
// ones none that is thin where it is half over.
std::array<std::int64_t, kLongestStroke + 1> strokes_of(const Bytes& contrast, int height, int width,
                                                        Strokes kind) {
  const int threshold = std::max(kLeastInkContrast, 3 * quantile(histogram_of(contrast), 0.99) / 10);
  std::array<std::int64_t, kLongestStroke + 1> strokes{};
  std::vector<int> length(width);
  const auto is_ink = [&](int x, int y) { return contrast[std::int64_t{y} * width + x] > threshold; };
  const auto is_thin = [&](int x, int y, int stroke) {
    int left = x, right = x + 1;
    while (left > 0 && is_ink(left - 1, y) && kLongestOfThickness * (right - left) < stroke) --left;
    while (right < width && is_ink(right, y) && kLongestOfThickness * (right - left) < stroke) ++right;
    return kLongestOfThickness * (right - left) < stroke;
  };
  for (int y = 0; y <= height; ++y) {
    for (int x = 0; x < width; ++x) {
      if (y < height && is_ink(x, y)) {
        ++length[x];
      } else {
        const int stroke = length[x];
        const bool counts = stroke >= 2 && stroke <= kLongestStroke;
        if (counts && (kind == Strokes::all || !is_thin(x, y - 1 - stroke / 2, stroke))) ++strokes[stroke];
        length[x] = 0;
      }
    }
  }
  return strokes;
}

// [length]: pixels of ink in vertical strokes of this length; nothing where there are few strokes.
std::optional<std::array<std::int64_t, kLongestStroke + 1>> votes_of(const Image& image, Strokes kind) {
  const Bytes contrast = contrast_of(to_grey(image), image.height, image.width);
  auto votes = strokes_of(contrast, image.height, image.width, kind);
  std::int64_t strokes = 0;
  for (std::int64_t length = 0; length < std::ssize(votes); ++length) {
    strokes += votes[length];
    votes[length] *= length;
  }
  if (strokes < kFewestStrokes) return std::nullopt;
  return votes;
}

}  // namespace

std::optional<double> estimate_letter_height(const Image& image) {
  const auto votes = votes_of(image, Strokes::all);
  if (!votes) return std::nullopt;
  return kLetterOfStroke * quantile(*votes, 0.87);
}

std::optional<double> cautious_letter_height(const Image& image) {
  const auto votes = votes_of(image, Strokes::thick);
  if (!votes) return std::nullopt;
  const int stroke = quantile(*votes, 0.87), median = quantile(*votes, 0.5);
  return kLetterOfStroke * std::min(stroke, kLongOfMedianStroke * median);
}

}  // namespace glmocr
