// SPDX-License-Identifier: Apache-2.0
// The arithmetic is that of Pillow's Resample.c and of PyTorch's uint8 interpolation, which took it over:
// weights in double, rounded to integers; sums of integers; every pass rounded and clamped to bytes.
#include "image/resize.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <vector>

#include "base/error.h"

namespace glmocr {
namespace {

constexpr int kMaxPrecision = 22;  // bits; leaves 2 of 32 for the overshoot of the kernel
constexpr int kBlockRows = 16;     // rows that a horizontal pass filters together
constexpr int kLanes = 3 * kBlockRows;

double keys_kernel(double t) {
  t = std::abs(t);
  if (t < 1.0) return (1.5 * t - 2.5) * t * t + 1.0;
  if (t < 2.0) return (((t - 5.0) * t + 8.0) * t - 4.0) * -0.5;
  return 0.0;
}

// Which input samples contribute to each output sample, and their weights.
template <class Weight>
struct Taps {
  int precision;                // a weight of 1 is 1 << precision
  std::vector<int> first;       // [outputs]
  std::vector<int> count;       // [outputs]
  int stride = 0;               // the largest count
  std::vector<Weight> weights;  // [outputs, stride]
};

// As PyTorch chooses them for int16 weights: the most bits that keep the largest weight below 2^15.
int int16_precision(double largest) {
  int precision = 0;
  while (precision < kMaxPrecision && static_cast<int>(0.5 + largest * (1 << (precision + 1))) < (1 << 15)) {
    ++precision;
  }
  return precision;
}

template <class Weight>
Taps<Weight> make_taps(int inputs, int outputs) {
  const double scale = 1.0 * inputs / outputs;
  const double filter_scale = std::max(scale, 1.0);
  const double support = 2.0 * filter_scale;
  const double step = 1.0 / filter_scale;
  Taps<Weight> taps;
  taps.first.resize(outputs);
  taps.count.resize(outputs);
  taps.stride = std::ceil(support) * 2 + 1;
  std::vector<double> weights(std::int64_t{outputs} * taps.stride);
  for (int i = 0; i < outputs; ++i) {
    const double center = (i + 0.5) * scale;
    const int first = std::max(0, static_cast<int>(center - support + 0.5));
    const int count = std::min(inputs, static_cast<int>(center + support + 0.5)) - first;
    double* row = &weights[std::int64_t{i} * taps.stride];
    double sum = 0.0;
    for (int j = 0; j < count; ++j) sum += row[j] = keys_kernel((j + first - center + 0.5) * step);
    for (int j = 0; j < count; ++j) row[j] /= sum;
    taps.first[i] = first;
    taps.count[i] = count;
  }
  const double largest = *std::max_element(weights.begin(), weights.end());
  taps.precision = sizeof(Weight) == 2 ? int16_precision(largest) : kMaxPrecision;
  taps.weights.resize(weights.size());
  std::transform(weights.begin(), weights.end(), taps.weights.begin(), [&](double weight) {
    return static_cast<Weight>(weight * (1 << taps.precision) + (weight < 0 ? -0.5 : 0.5));
  });
  return taps;
}

// out[k] = clamp((half + sum over j of weights[j] * in[j * stride + k]) >> precision) for `lanes` values, at
// most kLanes. The inner loop of both passes: lanes are contiguous and independent, so with a constant number
// of them the compiler vectorises it.
template <class Weight, class Lanes>
void weigh(const std::uint8_t* in, std::int64_t stride, const Weight* weights, int count, int precision,
           Lanes lanes, std::uint8_t* out) {
  std::int32_t sums[kLanes];
  for (int k = 0; k < lanes; ++k) sums[k] = 1 << (precision - 1);
  for (int j = 0; j < count; ++j) {
    const Weight weight = weights[j];
    const std::uint8_t* row = in + j * stride;
    for (int k = 0; k < lanes; ++k) sums[k] += weight * static_cast<Weight>(row[k]);
  }
  for (int k = 0; k < lanes; ++k) out[k] = std::clamp(sums[k] >> precision, 0, 255);
}

constexpr std::integral_constant<int, kLanes> kAllLanes;

template <class Weight>
Image resize_vertically(const Image& in, int height) {
  const Taps<Weight> taps = make_taps<Weight>(in.height, height);
  const std::int64_t row_size = std::int64_t{in.width} * 3;
  Image out{in.width, height, std::vector<std::uint8_t>(row_size * height)};
  for (int y = 0; y < height; ++y) {
    const std::uint8_t* from = &in.rgb[taps.first[y] * row_size];
    const Weight* weights = &taps.weights[std::int64_t{y} * taps.stride];
    std::uint8_t* to = &out.rgb[y * row_size];
    std::int64_t k = 0;
    for (; k + kLanes <= row_size; k += kLanes) {
      weigh(from + k, row_size, weights, taps.count[y], taps.precision, kAllLanes, to + k);
    }
    weigh(from + k, row_size, weights, taps.count[y], taps.precision, static_cast<int>(row_size - k), to + k);
  }
  return out;
}

// Filters kBlockRows rows at a time: with their pixels interleaved, [x, row, 3], the horizontal pass becomes
// a vertical one over kLanes contiguous bytes.
template <class Weight>
Image resize_horizontally(const Image& in, int width) {
  const Taps<Weight> taps = make_taps<Weight>(in.width, width);
  Image out{width, in.height, std::vector<std::uint8_t>(std::int64_t{width} * in.height * 3)};
  std::vector<std::uint8_t> block(std::int64_t{in.width} * kLanes);  // [in.width, kBlockRows, 3]
  std::uint8_t column[kLanes];                                       // [kBlockRows, 3]
  for (int y0 = 0; y0 < in.height; y0 += kBlockRows) {
    const int rows = std::min(kBlockRows, in.height - y0);
    for (int row = 0; row < rows; ++row) {
      const std::uint8_t* from = &in.rgb[std::int64_t{y0 + row} * in.width * 3];
      std::uint8_t* to = &block[row * 3];
      for (int x = 0; x < in.width; ++x) std::memcpy(to + std::int64_t{kLanes} * x, from + 3 * x, 3);
    }
    for (int x = 0; x < width; ++x) {
      weigh(&block[std::int64_t{taps.first[x]} * kLanes], kLanes,
            &taps.weights[std::int64_t{x} * taps.stride], taps.count[x], taps.precision, kAllLanes, column);
      std::uint8_t* to = &out.rgb[(std::int64_t{y0} * width + x) * 3];
      for (int row = 0; row < rows; ++row)
        std::memcpy(to + std::int64_t{row} * width * 3, column + row * 3, 3);
    }
  }
  return out;
}

template <class Weight>
Image resize(const Image& image, int width, int height) {
  if (image.width == width) return image.height == height ? image : resize_vertically<Weight>(image, height);
  Image narrow = resize_horizontally<Weight>(image, width);
  return image.height == height ? narrow : resize_vertically<Weight>(narrow, height);
}

}  // namespace

Image resize_bicubic(const Image& image, int width, int height, ResizeFlavour flavour) {
  GLMOCR_CHECK(width > 0 && height > 0 && image.width > 0 && image.height > 0);
  return flavour == ResizeFlavour::torchvision ? resize<std::int16_t>(image, width, height)
                                               : resize<std::int32_t>(image, width, height);
}

}  // namespace glmocr
