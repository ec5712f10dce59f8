// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <limits>
#include <span>

#include "models/glm_ocr/preprocess.h"

namespace glmocr::engine {

// How much text pictures have room for, in heights of their letters. By default there is no bound.
struct TextRoom {
  double area = std::numeric_limits<double>::infinity();  // of lines that are one height apart
  double line = std::numeric_limits<double>::infinity();  // length of the longest line
};

// A generous estimate of how much text the pictures have room for: together, from the height of their letters and the
// parts of them that are not blank; on one line, from their longest side and letters of half a patch, the smallest that
// can be read. Where the height is not known, all letters are taken to be that small. Without pictures there is no
// bound.
TextRoom text_room(std::span<const PreprocessedImage> images, int patch_size);

}  // namespace glmocr::engine
