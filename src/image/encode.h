// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstddef>
#include <vector>

#include "glmocr/image.h"

namespace glmocr {

// The bytes of a PNG file. Throws Error{input} for a picture without pixels, Error{memory}.
std::vector<std::byte> encode_png(const Image& image);

// The bytes of a JPEG file, without subsampling of colours; quality 1 … 100. The same errors, also for sides that JPEG
// cannot have.
std::vector<std::byte> encode_jpeg(const Image& image, int quality);

}  // namespace glmocr
