// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "image/image.h"

namespace glmocr {

// Whose integers a resize reproduces; they differ in the precision of the weights alone.
enum class ResizeFlavour {
  torchvision,  // uint8 CPU resize of torchvision's bicubic, antialias=True: weights fit int16
  pillow,       // Image.resize(BICUBIC) of Pillow < 13: 22 bits (13 swaps the passes of some shapes)
};

// Antialiased bicubic (Keys, a = -0.5) in two passes over bytes, the horizontal one first; equal to the named
// library in every byte. width and height: the new size, positive. A side that keeps its length is not
// filtered.
Image resize_bicubic(const Image& image, int width, int height,
                     ResizeFlavour flavour = ResizeFlavour::torchvision);

}  // namespace glmocr
