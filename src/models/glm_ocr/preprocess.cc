// SPDX-License-Identifier: Apache-2.0
#include "models/glm_ocr/preprocess.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "image/letter_height.h"

namespace glmocr {
namespace {

constexpr double kMaxRatio = 200.0;
constexpr double kEnlargementStep = 0.25;
constexpr double kMaxEnlargement = 1.5;

// value / unit, rounded half to even like Python's round; value is not negative.
std::int64_t round_to_units(std::int64_t value, std::int64_t unit) {
  const std::int64_t quotient = value / unit;
  const std::int64_t twice_rest = value % unit * 2;
  return quotient + (twice_rest > unit || (twice_rest == unit && quotient % 2 == 1) ? 1 : 0);
}

}  // namespace

// The steps, and the order of operations in double, are those of smart_resize in transformers'
// image_processing_glm46v.py, with as many frames as temporal_patch_size.
ImageSize smart_resize(int height, int width, const PreprocessConfig& config) {
  GLMOCR_CHECK(height > 0 && width > 0);
  const std::int64_t unit = config.block_size();
  const std::int64_t frames = config.temporal_patch_size;
  std::int64_t h = height;
  std::int64_t w = width;
  if (h < unit || w < unit) {
    const double scale = std::max(1.0 * unit / height, 1.0 * unit / width);
    h = height * scale;
    w = width * scale;
  }
  if (1.0 * std::max(h, w) / std::min(h, w) > kMaxRatio) {
    fail(ErrorCode::input, cat("picture of ", width, "x", height, " pixels: one side is more than ",
                               kMaxRatio, " times the other"));
  }
  std::int64_t out_h = round_to_units(h, unit) * unit;
  std::int64_t out_w = round_to_units(w, unit) * unit;
  const double area = frames * h * w;
  const auto fit = [&](std::int64_t side, double beta) {
    return std::max(unit, static_cast<std::int64_t>(std::floor(side / beta / unit)) * unit);
  };
  const auto grow = [&](std::int64_t side, double beta) {
    return static_cast<std::int64_t>(std::ceil(side * beta / unit)) * unit;
  };
  if (frames * out_h * out_w > config.longest_edge) {
    const double beta = std::sqrt(area / config.longest_edge);
    out_h = fit(h, beta);
    out_w = fit(w, beta);
  } else if (frames * out_h * out_w < config.shortest_edge) {
    const double beta = std::sqrt(config.shortest_edge / area);
    out_h = grow(h, beta);
    out_w = grow(w, beta);
  }
  return {static_cast<int>(out_h), static_cast<int>(out_w)};
}

double enlargement(const Image& image, const PreprocessConfig& config) {
  if (config.enlarge_letters_below <= 0) return 1;
  const double pixels = 1.0 * config.longest_edge / config.temporal_patch_size;
  const auto fits = [&](double factor) {
    return 1.0 * image.height * image.width * factor * factor <= pixels;
  };
  if (!fits(1 + kEnlargementStep)) return 1;
  const std::optional<double> letter = estimate_letter_height(image);
  if (!letter) return 1;
  double factor = 1;
  while (factor < kMaxEnlargement && *letter * factor < config.enlarge_letters_below &&
         fits(factor + kEnlargementStep)) {
    factor += kEnlargementStep;
  }
  return factor;
}

PreprocessedImage preprocess(const Image& image, const PreprocessConfig& config, SmallPrint small_print) {
  const int unit = config.block_size();
  PreprocessedImage out;
  if (config.do_resize) {
    const double factor = small_print == SmallPrint::enlarged ? enlargement(image, config) : 1;
    const ImageSize size =
        smart_resize(static_cast<int>(image.height * factor), static_cast<int>(image.width * factor), config);
    out.resized = resize_bicubic(image, size.width, size.height, config.flavour);
  } else if (image.width % unit != 0 || image.height % unit != 0) {
    fail(ErrorCode::input, cat("picture of ", image.width, "x", image.height,
                               " pixels: do_resize is off, so both sides must be multiples of ", unit));
  } else {
    out.resized = image;
  }
  out.grid = {1, out.resized.height / config.patch_size, out.resized.width / config.patch_size};
  return out;
}

// In fp32 and fused, as torchvision does it: (x − mean / factor) / (std / factor).
NormalizedBytes normalized_bytes(const PreprocessConfig& c) {
  NormalizedBytes out;
  for (int channel = 0; channel < 3; ++channel) {
    float mean = 0, deviation = 1;
    if (c.do_normalize) {
      const float scale = c.do_rescale ? static_cast<float>(1.0 / c.rescale_factor) : 1.0f;
      mean = static_cast<float>(c.image_mean[channel]) * scale;
      deviation = static_cast<float>(c.image_std[channel]) * scale;
    }
    if (!(deviation > 0)) {
      fail(ErrorCode::model, cat("preprocessor_config.json: image_std holds ", c.image_std[channel],
                                 ", expected numbers above 0 in fp32"));
    }
    const float factor = c.do_rescale && !c.do_normalize ? static_cast<float>(c.rescale_factor) : 1.0f;
    for (int byte = 0; byte < 256; ++byte) out[channel][byte] = (byte * factor - mean) / deviation;
  }
  return out;
}

}  // namespace glmocr
