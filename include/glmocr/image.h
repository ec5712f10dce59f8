// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "glmocr/export.h"

namespace glmocr {

// An 8-bit RGB picture, rows from the top.
struct Image {
  int width = 0;
  int height = 0;
  std::vector<std::uint8_t> rgb;  // [height, width, 3]
};

struct ImageOptions {
  // Larger pictures are refused before memory is allocated for them.
  std::int64_t max_pixels = std::int64_t{1} << 28;
  // Bytes that decoding one picture may take at most: its file, its pixels and what its format needs beside them. A
  // picture that needs more, which its header tells, is refused with Error{memory}.
  std::int64_t picture_memory = std::int64_t{416} << 20;
  // The background colour of transparent pixels. Without one, alpha is dropped as Pillow's convert("RGB")
  // does, except that a picture whose content is in the alpha plane alone is put on white.
  std::optional<std::array<std::uint8_t, 3>> background;
};

// Reads a picture file: PNG, JPEG, WebP, TIFF, GIF (first picture), BMP, PNM, and HEIC or AVIF where the
// library was built with libheif. The format is detected from the content. The orientation stored in the file
// is applied. The path "-" means standard input. Warnings about a picture that was read nevertheless are
// appended to `warnings`, if given. Throws Error{input} naming the file and what is wrong with it, Error{memory}
// naming its size and the memory it needs.
GLMOCR_API Image load_image(const std::string& path, const ImageOptions& options = {},
                            std::vector<std::string>* warnings = nullptr);

// The same from memory; messages call the picture `name`.
GLMOCR_API Image decode_image_bytes(std::span<const std::byte> bytes, const std::string& name,
                                    const ImageOptions& options = {},
                                    std::vector<std::string>* warnings = nullptr);

}  // namespace glmocr
