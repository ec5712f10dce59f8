// SPDX-License-Identifier: Apache-2.0
#include "models/pp_doclayout_v3/preprocess.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <vector>

#include "base/error.h"

namespace glmocr::doclayout {
namespace {

constexpr int kTaps = 4;
constexpr int kMaxPrecision = 22;

// Which pixels make a pixel of the result, and their weights: 1 is 1 << precision.
struct Taps {
  std::array<int, kTaps> at;
  std::array<std::int32_t, kTaps> weights;
};
struct Filter {
  int precision = 0;
  std::vector<Taps> taps;
};

double cubic(double t) {
  constexpr double a = -0.75;
  t = std::abs(t);
  if (t <= 1) return ((a + 2) * t - (a + 3)) * t * t + 1;
  if (t < 2) return ((a * t - 5 * a) * t + 8 * a) * t - 4 * a;
  return 0;
}

// Places beyond an edge have the edge's pixel, and their weights are added to its weight.
Filter make_filter(int inputs, int outputs) {
  const double scale = 1.0 * inputs / outputs;
  std::vector<std::array<double, kTaps>> weights(outputs);
  Filter filter;
  filter.taps.resize(outputs);
  double largest = 0;
  for (int i = 0; i < outputs; ++i) {
    const double place = (i + 0.5) * scale - 0.5, base = std::floor(place), share = place - base;
    const int first = static_cast<int>(base) - 1;
    for (int k = 0; k < kTaps; ++k) {
      const int at = std::clamp(first + k, 0, inputs - 1);
      filter.taps[i].at[k] = at;
      // The weight goes to the first tap with this pixel.
      int same = 0;
      while (filter.taps[i].at[same] != at) ++same;
      weights[i][k] = 0;
      weights[i][same] += cubic(share - (k - 1));
    }
    largest = std::max(largest, *std::max_element(weights[i].begin(), weights[i].end()));
  }
  while (filter.precision < kMaxPrecision &&
         static_cast<int>(0.5 + largest * (1 << (filter.precision + 1))) < (1 << 15)) {
    ++filter.precision;
  }
  for (int i = 0; i < outputs; ++i) {
    for (int k = 0; k < kTaps; ++k) {
      const double weight = weights[i][k] * (1 << filter.precision);
      filter.taps[i].weights[k] = static_cast<std::int32_t>(weight + (weight < 0 ? -0.5 : 0.5));
    }
  }
  return filter;
}

// The sum of four bytes by their weights, rounded and clamped.
std::uint8_t weigh(const Filter& filter, const Taps& taps, const std::uint8_t* const* pixels,
                   std::int64_t i) {
  std::int32_t sum = 1 << (filter.precision - 1);
  for (int k = 0; k < kTaps; ++k) sum += taps.weights[k] * pixels[k][i];
  return static_cast<std::uint8_t>(std::clamp(sum >> filter.precision, 0, 255));
}

Image resize_horizontally(const Image& in, int width) {
  const Filter filter = make_filter(in.width, width);
  Image out{width, in.height, std::vector<std::uint8_t>(std::int64_t{width} * in.height * 3)};
  std::uint8_t* to = out.rgb.data();
  for (int y = 0; y < in.height; ++y) {
    const std::uint8_t* row = &in.rgb[std::int64_t{y} * in.width * 3];
    for (const Taps& taps : filter.taps) {
      const std::uint8_t* pixels[kTaps];
      for (int k = 0; k < kTaps; ++k) pixels[k] = row + std::int64_t{3} * taps.at[k];
      for (int channel = 0; channel < 3; ++channel) *to++ = weigh(filter, taps, pixels, channel);
    }
  }
  return out;
}

Image resize_vertically(const Image& in, int height) {
  const Filter filter = make_filter(in.height, height);
  const std::int64_t row_bytes = std::int64_t{in.width} * 3;
  Image out{in.width, height, std::vector<std::uint8_t>(row_bytes * height)};
  std::uint8_t* to = out.rgb.data();
  for (const Taps& taps : filter.taps) {
    const std::uint8_t* pixels[kTaps];
    for (int k = 0; k < kTaps; ++k) pixels[k] = &in.rgb[taps.at[k] * row_bytes];
    for (std::int64_t i = 0; i < row_bytes; ++i) *to++ = weigh(filter, taps, pixels, i);
  }
  return out;
}

}  // namespace

Image resize_plain(const Image& image, int width, int height) {
  GLMOCR_CHECK(width > 0 && height > 0 && image.width > 0 && image.height > 0);
  if (image.width == width) return image.height == height ? image : resize_vertically(image, height);
  Image narrow = resize_horizontally(image, width);
  return image.height == height ? narrow : resize_vertically(narrow, height);
}

}  // namespace glmocr::doclayout
