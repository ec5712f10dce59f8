// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "glmocr/image.h"

namespace glmocr::doclayout {

// The picture as the network sees it: bicubic (a = -0.75), without antialiasing and without keeping the ratio of the
// sides, in two passes over bytes, the horizontal one first. Every byte equals that of torchvision's resize of uint8
// pictures on the CPU with antialias=False. A side that keeps its length is not filtered.
Image resize_plain(const Image& image, int width, int height);

}  // namespace glmocr::doclayout
