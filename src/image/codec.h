// SPDX-License-Identifier: Apache-2.0
// What the codecs share; internal to this room. Each format is one file with one function from Source to
// Raster.
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "glmocr/image.h"

namespace glmocr {

// The bytes to decode, and their name for error messages.
struct Source {
  std::span<const std::byte> bytes;
  std::string name;    // of the file
  const char* format;  // as sniff_format names it
  std::int64_t max_pixels;
  std::int64_t max_bytes;                           // ImageOptions::picture_memory
  std::function<void(std::int64_t bytes)> on_size;  // see decode_image; may be empty
  std::uint64_t tiff_page = 0;                      // where the page begins; 0: the first

  const std::uint8_t* data() const { return reinterpret_cast<const std::uint8_t*>(bytes.data()); }
  std::size_t size() const { return bytes.size(); }

  // Throws Error{input}: "scan.png: PNG picture: <what>".
  [[noreturn]] void reject(const std::string& what) const;
  // Rejects sizes that are not positive or exceed max_pixels.
  void check_size(std::int64_t width, std::int64_t height) const;
  // Checks the size of the picture and the memory it takes, and reports that to on_size. `bytes`: what decoding takes
  // at most beside the file, until the upright picture is complete. A codec calls it once, as soon as it has read the
  // header and before it allocates memory for pixels or rows.
  void begin_picture(std::int64_t width, std::int64_t height, std::int64_t bytes) const;
  // Throws Error{memory} where the file and `bytes`, which `what` takes, exceed max_bytes.
  void check_memory(const std::string& what, std::int64_t bytes) const;
};

// A decoded picture before alpha and orientation are applied.
struct Raster {
  Image image;
  std::vector<std::uint8_t> alpha;  // [height, width], not premultiplied; empty where all pixels are opaque
  int orientation = 1;              // EXIF tag 0x0112, 1 to 8
  std::vector<std::string> warnings;
};

// Bytes per pixel of an RGB picture, and of the copy that turning it takes (decode.cc).
inline constexpr std::int64_t kRgb = 3;
inline std::int64_t turning(int orientation) { return orientation == 1 ? 0 : kRgb; }

Raster decode_png(const Source& source);
Raster decode_jpeg(const Source& source);
Raster decode_webp(const Source& source);
Raster decode_tiff(const Source& source);
Raster decode_gif(const Source& source);
Raster decode_bmp(const Source& source);
Raster decode_pnm(const Source& source);
Raster decode_heif(const Source& source);  // HEIC and AVIF

}  // namespace glmocr
