// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>

namespace glmocr {

// Converts one CMYK pixel (0 is no ink) to RGB as Pillow does without colour profiles: (255 - ink)(255 - k) /
// 255, rounded.
inline void cmyk_to_rgb(const std::uint8_t* cmyk, std::uint8_t* rgb) {
  const int light = 255 - cmyk[3];
  for (int c = 0; c < 3; ++c) {
    const int product = cmyk[c] * light + 128;
    const int shade = ((product >> 8) + product) >> 8;
    rgb[c] = light - shade;
  }
}

}  // namespace glmocr
