// SPDX-License-Identifier: Apache-2.0
// From the characters that a worker gives to words and lines; internal to this room.
#pragma once
#include <span>

#include "pdf/protocol.h"
#include "pdf/text_layer.h"

namespace glmocr::pdf {

// The layer of a page of this size. No number of the characters is trusted: those with boxes or code points that cannot be
// are left out or counted as unprintable.
TextLayer group_characters(std::span<const Character> characters, int width, int height);

// Whether a letter is of a script that is written to the left: Hebrew, Arabic and their like.
bool runs_left(char32_t c);

}  // namespace glmocr::pdf
