// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "image/codec.h"

namespace glmocr {

// Moves the alpha values out of interleaved RGBA pixels: `pixels` [n, 4] becomes [n, 3], the result is [n].
std::vector<std::uint8_t> split_alpha(std::vector<std::uint8_t>& pixels);

// Undoes premultiplication as Pillow does: colours divided by alpha, clamped; black where alpha is 0.
void unpremultiply(std::vector<std::uint8_t>& rgb, const std::vector<std::uint8_t>& alpha);

// Composes `raster` on `background`, or drops its alpha values where none is given, as Pillow's
// convert("RGB") does. A picture whose pixels all have one colour has its content in the alpha values alone:
// it is composed on white (on black if that colour is light), with a warning.
void resolve_alpha(Raster& raster, const std::optional<std::array<std::uint8_t, 3>>& background);

}  // namespace glmocr
