// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "glmocr/image.h"

namespace glmocr {

// Whose results a resize reproduces. They differ only in the precision of the weights.
enum class ResizeFlavour {
  torchvision,  // uint8 CPU resize of torchvision's bicubic, antialias=True: weights fit int16
  pillow,       // Image.resize(BICUBIC) of Pillow < 13: 22 bits (Pillow 13 swaps the passes for some shapes)
};

// Antialiased bicubic resize (Keys, a = -0.5) to a positive size, in two passes over bytes, the horizontal
// one first. Every byte equals that of the named library. A side that keeps its length is not filtered.
Image resize_bicubic(const Image& image, int width, int height,
                     ResizeFlavour flavour = ResizeFlavour::torchvision);

}  // namespace glmocr
