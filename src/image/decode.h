// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "image/image.h"

namespace glmocr {

struct DecodeOptions {
  // Larger pictures are refused before anything is allocated for them.
  std::int64_t max_pixels = std::int64_t{1} << 28;
  // The colour put behind transparent pixels. Without one, alpha is dropped as Pillow's convert("RGB") does,
  // except where all the content lies in the alpha plane.
  std::optional<std::array<std::uint8_t, 3>> background;
};

struct DecodedImage {
  Image image;                        // upright: the orientation stored in the file is applied
  std::string format;                 // as sniff_format names it
  std::vector<std::string> warnings;  // what a user should know about a picture that could be read
};

// The format by the first bytes, never by a file's name: "PNG", "JPEG", "WebP", "TIFF", "GIF", "BMP", "PNM",
// "HEIC", "AVIF", or one that is known but not read here ("PDF", "JPEG 2000", "JPEG XL", "SVG"); nullptr if
// none matches.
const char* sniff_format(std::span<const std::byte> bytes);

// The pixels that Pillow's Image.open(...).convert("RGB") gives after ImageOps.exif_transpose; animations and
// multi-page files give their first picture. One departure: 16-bit grey keeps the high byte, where Pillow
// clips at 255 and turns a scan white. Throws Error{input} that begins with `name` and says what was found
// and what is wrong with it, Error{memory} when the pixels do not fit.
DecodedImage decode_image(std::span<const std::byte> bytes, const std::string& name,
                          const DecodeOptions& options = {});

}  // namespace glmocr
