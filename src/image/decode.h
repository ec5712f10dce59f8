// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "glmocr/image.h"

namespace glmocr {

struct DecodedImage {
  Image image;                        // upright: the orientation in the file is applied
  std::string format;                 // as sniff_format names it
  std::vector<std::string> warnings;  // what a user should know about a picture that could be read
};

// The format according to the first bytes, never to a file's name: "PNG", "JPEG", "WebP", "TIFF", "GIF",
// "BMP", "PNM", "HEIC", "AVIF", or one that is recognised but not read here ("PDF", "JPEG 2000", "JPEG XL",
// "SVG"); nullptr if none matches.
const char* sniff_format(std::span<const std::byte> bytes);

// The pixels that Pillow's Image.open(...).convert("RGB") gives after ImageOps.exif_transpose; of animations
// and files with several pages, the first picture. One difference: 16-bit grey keeps the high byte, where
// Pillow clips at 255 and turns a scan white. Throws Error{input} that begins with `name` and says what was
// found and what is wrong with it, Error{memory} where there is no memory for the pixels.
DecodedImage decode_image(std::span<const std::byte> bytes, const std::string& name,
                          const ImageOptions& options = {});

}  // namespace glmocr
