// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "image/image.h"

namespace glmocr {

// Turns a picture upright. `orientation` is EXIF's value (tag 0x0112): 1 upright, 2 mirrored, 3 turned by
// 180, 4 flipped, 5 transposed, 6 to be turned clockwise, 7 transversed, 8 to be turned anticlockwise.
Image oriented(Image image, int orientation);

}  // namespace glmocr
