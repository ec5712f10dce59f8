// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "image/codec.h"

namespace glmocr {

// Moves the alpha plane out of interleaved RGBA pixels: `pixels` [n, 4] becomes [n, 3], the result is [n].
std::vector<std::uint8_t> split_alpha(std::vector<std::uint8_t>& pixels);

// Undoes premultiplication as Pillow does: colours divided by alpha, clamped; black where alpha is 0.
void unpremultiply(std::vector<std::uint8_t>& rgb, const std::vector<std::uint8_t>& alpha);

// Drops the alpha plane of `raster`, as Pillow's convert("RGB") does, or composes on `background` where one
// is given. Where one colour fills the whole RGB plane, the content lies in alpha alone: it is composed on
// white (on black if that one colour is light), with a warning.
void resolve_alpha(Raster& raster, const std::optional<std::array<std::uint8_t, 3>>& background);

}  // namespace glmocr
