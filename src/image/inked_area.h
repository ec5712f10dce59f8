// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>

#include "glmocr/image.h"

namespace glmocr {

// The area, in pixels, of those squares of a grid of so many pixels in which anything can be seen: an upper bound of the
// area that text takes, where the squares are as high as its letters.
std::int64_t inked_area(const Image& image, int square);

}  // namespace glmocr
