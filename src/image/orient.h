// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "glmocr/image.h"

namespace glmocr {

// The picture upright. `orientation` is the value of EXIF's tag 0x0112, which says how the pixels are stored:
// 1 upright, 2 mirrored left to right, 3 rotated by 180 degrees, 4 mirrored top to bottom, 5 transposed, 6 to
// be rotated clockwise, 7 transposed along the other diagonal, 8 to be rotated anticlockwise.
Image oriented(Image image, int orientation);

}  // namespace glmocr
