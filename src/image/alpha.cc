// SPDX-License-Identifier: Apache-2.0
#include "image/alpha.h"

#include <algorithm>
#include <cstring>

namespace glmocr {
namespace {

bool is_constant(const std::vector<std::uint8_t>& rgb) {
  return rgb.size() > 3 && std::memcmp(rgb.data(), rgb.data() + 3, rgb.size() - 3) == 0;
}

bool is_opaque(const std::vector<std::uint8_t>& alpha) {
  return std::all_of(alpha.begin(), alpha.end(), [](std::uint8_t value) { return value == 255; });
}

void compose(Raster& raster, const std::array<std::uint8_t, 3>& background) {
  for (std::size_t i = 0; i < raster.alpha.size(); ++i) {
    const int alpha = raster.alpha[i];
    std::uint8_t* pixel = &raster.image.rgb[3 * i];
    for (int c = 0; c < 3; ++c) {
      pixel[c] = (pixel[c] * alpha + background[c] * (255 - alpha) + 127) / 255;
    }
  }
}

bool is_light(const std::uint8_t* rgb) { return 299 * rgb[0] + 587 * rgb[1] + 114 * rgb[2] >= 128 * 1000; }

}  // namespace

std::vector<std::uint8_t> split_alpha(std::vector<std::uint8_t>& pixels) {
  const std::size_t count = pixels.size() / 4;
  std::vector<std::uint8_t> alpha(count);
  for (std::size_t i = 0; i < count; ++i) {
    alpha[i] = pixels[4 * i + 3];
    for (int c = 0; c < 3; ++c) pixels[3 * i + c] = pixels[4 * i + c];
  }
  pixels.resize(3 * count);
  return alpha;
}

void unpremultiply(std::vector<std::uint8_t>& rgb, const std::vector<std::uint8_t>& alpha) {
  for (std::size_t i = 0; i < alpha.size(); ++i) {
    for (int c = 0; c < 3; ++c) {
      std::uint8_t& value = rgb[3 * i + c];
      value = alpha[i] == 0 ? 0 : std::min(255, value * 255 / alpha[i]);
    }
  }
}

void resolve_alpha(Raster& raster, const std::optional<std::array<std::uint8_t, 3>>& background) {
  if (raster.alpha.empty()) return;
  if (background) {
    compose(raster, *background);
  } else if (is_constant(raster.image.rgb) && !is_opaque(raster.alpha)) {
    const bool light = is_light(raster.image.rgb.data());
    compose(raster,
            light ? std::array<std::uint8_t, 3>{0, 0, 0} : std::array<std::uint8_t, 3>{255, 255, 255});
    raster.warnings.push_back(light ? "all content is in the alpha channel: composed on black"
                                    : "all content is in the alpha channel: composed on white");
  }
  raster.alpha = {};
}

}  // namespace glmocr
