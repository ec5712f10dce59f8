// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace glmocr {

// An 8-bit RGB picture, rows from the top.
struct Image {
  int width = 0;
  int height = 0;
  std::vector<std::uint8_t> rgb;  // [height, width, 3]
};

struct ImageOptions {
  // Larger pictures are refused before anything is allocated for them.
  std::int64_t max_pixels = std::int64_t{1} << 28;
  // The colour put behind transparent pixels. Without one, alpha is dropped as Pillow's convert("RGB") does,
  // except where all the content lies in the alpha plane.
  std::optional<std::array<std::uint8_t, 3>> background;
};

// A picture file: PNG, JPEG, WebP, TIFF, GIF (first picture), BMP, PNM, and HEIC or AVIF where the library
// was built with libheif; told apart by content. The orientation stored in the file is applied. `path` "-"
// reads standard input. Warnings (what a user should know about a picture that could be read) are appended to
// `warnings` if given. Throws Error{input} naming the file, what was found and what is wrong with it.
Image load_image(const std::string& path, const ImageOptions& options = {},
                 std::vector<std::string>* warnings = nullptr);

// The same from memory; `name` stands for the picture in messages.
Image decode_image_bytes(std::span<const std::byte> bytes, const std::string& name,
                         const ImageOptions& options = {}, std::vector<std::string>* warnings = nullptr);

}  // namespace glmocr
