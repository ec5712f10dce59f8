// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "glmocr/image.h"

namespace glmocr {

struct DecodedImage {
  Image image;                        // upright: the orientation in the file is applied
  std::string format;                 // as sniff_format names it
  std::vector<std::string> warnings;  // about a picture that was read nevertheless
};

// The format, judged by the first bytes and never by a file's name: "PNG", "JPEG", "WebP", "TIFF", "GIF",
// "BMP", "PNM", "HEIC", "AVIF", or one that is recognised but not read here ("PDF", "JPEG 2000", "JPEG XL",
// "SVG"); nullptr if none matches.
const char* sniff_format(std::span<const std::byte> bytes);

// Gets the bytes that decoding a picture takes at most, as ImageOptions::picture_memory counts them.
using SizeCallback = std::function<void(std::int64_t bytes)>;

// The pixels that Pillow's Image.open(...).convert("RGB") gives after ImageOps.exif_transpose; of animations
// and files with several pages, the first picture. One difference: 16-bit grey keeps the high byte, where
// Pillow clips at 255 and turns a scan white. Throws Error{input} that begins with `name` and says what was
// found and what is wrong with it, Error{memory} where decoding takes more than picture_memory or than there is.
// `on_size` is called once, after the header is read and the limits checked, before memory for pixels is
// taken. It may block until there is room for them, or throw to stop decoding.
DecodedImage decode_image(std::span<const std::byte> bytes, const std::string& name,
                          const ImageOptions& options = {}, const SizeCallback& on_size = {});

// The pages of a TIFF file: where each begins. Smaller versions of other pages and masks are left out.
struct TiffPages {
  std::vector<std::uint64_t> places;
  std::string warning;  // why there may be more; else empty
};

// Empty where the bytes are no TIFF file, or one whose first page cannot be found: decode_image says what is wrong with it.
// Throws Error{input} where it has more than 65,535 pages.
TiffPages tiff_pages(std::span<const std::byte> bytes, const std::string& name);

// decode_image for one of them.
DecodedImage decode_tiff_page(std::span<const std::byte> bytes, std::uint64_t place, const std::string& name,
                              const ImageOptions& options = {}, const SizeCallback& on_size = {});

// The bytes of a file, or of standard input ("-"), at most `most`. Throws Error{input}, Error{memory} naming
// picture_memory.
std::string read_picture(const std::string& path, std::int64_t most);

// decode_image for a file; "-" is standard input. The file is read, not mapped: one that shrinks while it is
// decoded must not end the process. No more of it is read than picture_memory.
DecodedImage decode_file(const std::string& path, const ImageOptions& options = {},
                         const SizeCallback& on_size = {});

}  // namespace glmocr
