// SPDX-License-Identifier: Apache-2.0
// BMP: OS/2 and Windows headers; 1, 4 and 8 bits with a palette (plain, RLE4, RLE8); 16, 24 and 32 bits with
// or without channel masks. Where writers disagree, Pillow's rules hold: 32 bits without masks have no alpha.
#include <algorithm>
#include <array>
#include <bit>
#include <cstdlib>

#include "base/error.h"
#include "image/codec.h"

namespace glmocr {
namespace {

enum Compression : std::uint32_t { kPlain = 0, kRle8 = 1, kRle4 = 2, kMasks = 3, kAlphaMasks = 6 };

constexpr std::size_t kFileHeader = 14;

// Reads little-endian integers at an offset; past the end the file is truncated.
struct Reader {
  const Source& source;

  const std::uint8_t* at(std::size_t offset, std::size_t size) const {
    if (offset > source.size() || size > source.size() - offset) {
      source.reject(cat("truncated file: ", size, " bytes expected at byte ", offset, " of ", source.size()));
    }
    return source.data() + offset;
  }
  std::uint32_t u16(std::size_t offset) const {
    const std::uint8_t* p = at(offset, 2);
    return p[0] | p[1] << 8;
  }
  std::uint32_t u32(std::size_t offset) const { return u16(offset) | u16(offset + 2) << 16; }
};

struct Header {
  int width = 0, height = 0, bits = 0;
  bool top_down = false;
  std::uint32_t compression = kPlain;
  std::size_t pixels_at = 0;
  std::array<std::uint32_t, 4> masks{};                    // red, green, blue, alpha
  std::array<std::array<std::uint8_t, 3>, 256> palette{};  // RGB; black beyond its end

  bool has_runs() const { return compression == kRle8 || compression == kRle4; }
};

void read_palette(const Reader& reader, Header& header, std::size_t at, std::size_t entry,
                  std::size_t colors) {
  // The offset of the pixels limits it too: some writers state more colours than they store.
  const bool bounded = header.pixels_at > at;
  if (bounded) colors = std::min(colors, (header.pixels_at - at) / entry);
  colors = std::min<std::size_t>(colors, 256);
  for (std::size_t i = 0; i < colors; ++i) {
    const std::uint8_t* bgr = reader.at(at + i * entry, 3);
    header.palette[i] = {bgr[2], bgr[1], bgr[0]};
  }
  if (!bounded) header.pixels_at = at + colors * entry;
}

void read_masks(const Reader& reader, Header& header, std::size_t header_size) {
  const bool stored = header.compression == kMasks || header.compression == kAlphaMasks;
  if (!stored) {
    if (header.bits == 16) header.masks = {0x7c00, 0x03e0, 0x001f, 0};
    if (header.bits >= 24) header.masks = {0xff0000, 0x00ff00, 0x0000ff, 0};
    return;
  }
  const bool has_alpha = header_size >= 56 || header.compression == kAlphaMasks;
  for (int c = 0; c < (has_alpha ? 4 : 3); ++c) header.masks[c] = reader.u32(kFileHeader + 40 + 4 * c);
  if (header.masks == std::array<std::uint32_t, 4>{}) {
    header.masks = {0xff0000, 0x00ff00, 0x0000ff, 0xff000000};
  }
}

void check_coding(const Source& source, const Header& header) {
  const int bits = header.bits;
  if (bits != 1 && bits != 4 && bits != 8 && bits != 16 && bits != 24 && bits != 32) {
    source.reject(cat(bits, " bits per pixel, expected 1, 4, 8, 16, 24 or 32"));
  }
  const std::uint32_t compression = header.compression;
  const bool known = compression == kPlain || (compression == kRle8 && bits == 8) ||
                     (compression == kRle4 && bits == 4) ||
                     ((compression == kMasks || compression == kAlphaMasks) && bits >= 16);
  if (!known)
    source.reject(cat("compression ", compression, " with ", bits, " bits per pixel is not supported"));
}

Header read_header(const Source& source) {
  const Reader reader{source};
  Header header;
  header.pixels_at = reader.u32(10);
  const std::size_t size = reader.u32(kFileHeader);
  const bool os2 = size == 12;
  std::int64_t width = 0, height = 0;
  std::size_t colors = 0;
  if (os2) {
    width = reader.u16(18);
    height = reader.u16(20);
    header.bits = reader.u16(24);
  } else if (size == 40 || size == 52 || size == 56 || size == 64 || size == 108 || size == 124) {
    width = static_cast<std::int32_t>(reader.u32(18));
    height = static_cast<std::int32_t>(reader.u32(22));
    header.bits = reader.u16(28);
    header.compression = reader.u32(30);
    colors = reader.u32(46);
  } else {
    source.reject(cat("header of ", size, " bytes is not known"));
  }
  header.top_down = height < 0;
  height = std::abs(height);
  source.check_size(width, height);
  check_coding(source, header);
  header.width = width;
  header.height = height;

  const std::size_t palette_at = kFileHeader + size;
  if (header.bits <= 8) {
    read_palette(reader, header, palette_at, os2 ? 3 : 4,
                 colors != 0 ? colors : std::size_t{1} << header.bits);
  } else {
    read_masks(reader, header, size);
    if (header.pixels_at == 0) header.pixels_at = palette_at;
  }
  const int pixel_bytes = kRgb + (header.has_runs() ? 1 : 0) + (header.masks[3] != 0 ? 1 : 0);
  source.begin_picture(width, height, pixel_bytes * width * height);
  return header;
}

// The palette indices of a run-length coded picture, [height, width], rows in the order of the file. What the
// runs leave out is 0.
std::vector<std::uint8_t> read_runs(const Source& source, const Header& header) {
  const Reader reader{source};
  const bool nibbles = header.compression == kRle4;
  const std::size_t width = header.width;
  const std::size_t end = width * header.height;
  std::vector<std::uint8_t> indices(end);
  std::size_t x = 0, row = 0, at = header.pixels_at;
  const auto put = [&](std::uint8_t value) {
    if (x < width && row + x < end) indices[row + x] = value;
    ++x;
  };
  while (row < end) {
    const int count = reader.at(at, 2)[0];
    const int value = reader.at(at, 2)[1];
    at += 2;
    if (count > 0) {  // one run
      for (int i = 0; i < count; ++i) {
        put(!nibbles ? value : i % 2 == 0 ? value >> 4 : value & 15);
      }
    } else if (value == 0) {  // end of row
      x = 0;
      row += width;
    } else if (value == 1) {  // end of picture
      break;
    } else if (value == 2) {  // move right and up
      const std::uint8_t* move = reader.at(at, 2);
      at += 2;
      x += move[0];
      row += move[1] * width;
    } else {  // pixels as they are, padded to 16 bits
      const std::size_t size = nibbles ? (value + 1) / 2 : value;
      const std::uint8_t* pixels = reader.at(at, size);
      for (int i = 0; i < value; ++i) {
        put(!nibbles ? pixels[i] : i % 2 == 0 ? pixels[i / 2] >> 4 : pixels[i / 2] & 15);
      }
      at += size + size % 2;
    }
  }
  return indices;
}

// The bits of one channel, scaled to 255.
struct Channel {
  explicit Channel(std::uint32_t mask)
      : shift(mask == 0 ? 0 : std::countr_zero(mask)), limit(mask >> shift) {}
  std::uint8_t of(std::uint32_t pixel) const {
    return limit == 0 ? 0 : std::uint64_t{pixel >> shift & limit} * 255 / limit;
  }
  int shift;
  std::uint32_t limit;
};

}  // namespace

Raster decode_bmp(const Source& source) {
  const Header header = read_header(source);
  const std::size_t width = header.width;
  const std::size_t stride = (width * header.bits + 31) / 32 * 4;
  const bool runs = header.has_runs();
  const std::uint8_t* pixels = nullptr;
  if (!runs) pixels = Reader{source}.at(header.pixels_at, stride * header.height);
  const std::vector<std::uint8_t> indices = runs ? read_runs(source, header) : std::vector<std::uint8_t>();

  const Channel channels[4] = {Channel(header.masks[0]), Channel(header.masks[1]), Channel(header.masks[2]),
                               Channel(header.masks[3])};
  Raster raster;
  raster.image = {header.width, header.height, std::vector<std::uint8_t>(width * header.height * 3)};
  if (header.masks[3] != 0) raster.alpha.resize(width * header.height);
  for (int y = 0; y < header.height; ++y) {
    const std::size_t stored_row = header.top_down ? y : header.height - 1 - y;
    const std::uint8_t* in = runs ? &indices[stored_row * width] : pixels + stored_row * stride;
    for (std::size_t x = 0; x < width; ++x) {
      const std::size_t pixel = y * width + x;
      std::uint8_t* rgb = &raster.image.rgb[3 * pixel];
      if (header.bits <= 8) {
        const int bits = runs ? 8 : header.bits;
        const int index = in[x * bits / 8] >> (8 - bits - x * bits % 8) & ((1 << bits) - 1);
        std::copy_n(header.palette[index].data(), 3, rgb);
      } else {
        std::uint32_t value = 0;
        for (int byte = header.bits / 8 - 1; byte >= 0; --byte)
          value = value << 8 | in[x * header.bits / 8 + byte];
        for (int c = 0; c < 3; ++c) rgb[c] = channels[c].of(value);
        if (!raster.alpha.empty()) raster.alpha[pixel] = channels[3].of(value);
      }
    }
  }
  return raster;
}

}  // namespace glmocr
