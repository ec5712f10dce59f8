// SPDX-License-Identifier: Apache-2.0
// The first picture of a GIF through giflib.
#include <gif_lib.h>

#include <algorithm>
#include <cstring>
#include <memory>

#include "base/error.h"
#include "image/codec.h"

namespace glmocr {
namespace {

constexpr std::int64_t kGifState = 64 << 10;  // of giflib

struct Input {
  const Source& source;
  std::size_t position = 0;
};

int on_read(GifFileType* gif, GifByteType* out, int size) {
  auto& input = *static_cast<Input*>(gif->UserData);
  const std::size_t count = std::min<std::size_t>(size, input.source.size() - input.position);
  std::memcpy(out, input.source.data() + input.position, count);
  input.position += count;
  return count;
}

struct GifCloser {
  void operator()(GifFileType* gif) const { DGifCloseFile(gif, nullptr); }
};
using Gif = std::unique_ptr<GifFileType, GifCloser>;

[[noreturn]] void reject(const Source& source, int error) {
  const char* reason = GifErrorString(error);
  if (error == D_GIF_ERR_READ_FAILED || error == D_GIF_ERR_EOF_TOO_SOON) reason = "truncated file";
  source.reject(reason != nullptr ? reason : "broken file");
}

// Moves to the first picture; returns its transparent index or NO_TRANSPARENT_COLOR.
int find_first_picture(GifFileType* gif, const Source& source) {
  int transparent = NO_TRANSPARENT_COLOR;
  for (;;) {
    GifRecordType record;
    if (DGifGetRecordType(gif, &record) == GIF_ERROR) reject(source, gif->Error);
    if (record == TERMINATE_RECORD_TYPE) source.reject("no picture in the file");
    if (record == IMAGE_DESC_RECORD_TYPE) {
      if (DGifGetImageDesc(gif) == GIF_ERROR) reject(source, gif->Error);
      return transparent;
    }
    if (record != EXTENSION_RECORD_TYPE) continue;
    int code = 0;
    GifByteType* block = nullptr;  // its length, then its bytes
    if (DGifGetExtension(gif, &code, &block) == GIF_ERROR) reject(source, gif->Error);
    GraphicsControlBlock control;
    if (code == GRAPHICS_EXT_FUNC_CODE && block != nullptr &&
        DGifExtensionToGCB(block[0], block + 1, &control) == GIF_OK) {
      transparent = control.TransparentColor;
    }
    while (block != nullptr) {
      if (DGifGetExtensionNext(gif, &block) == GIF_ERROR) reject(source, gif->Error);
    }
  }
}

// Without a colour map, and beyond the end of one, an index is a level of grey.
GifColorType color_of(const ColorMapObject* map, int index) {
  if (map != nullptr && index < map->ColorCount) return map->Colors[index];
  const auto grey = static_cast<GifByteType>(index);
  return {grey, grey, grey};
}

void put(const GifColorType& color, std::uint8_t* rgb) {
  rgb[0] = color.Red;
  rgb[1] = color.Green;
  rgb[2] = color.Blue;
}

// Calls row(y) in the order in which the rows of a picture are stored.
template <class Row>
void for_each_stored_row(int height, bool interlaced, Row row) {
  static constexpr int kStart[] = {0, 4, 2, 1};
  static constexpr int kStep[] = {8, 8, 4, 2};
  for (int pass = 0; pass < (interlaced ? 4 : 1); ++pass) {
    const int step = interlaced ? kStep[pass] : 1;
    for (int y = kStart[pass]; y < height; y += step) row(y);
  }
}

}  // namespace

Raster decode_gif(const Source& source) {
  Input input{source};
  int error = 0;
  const Gif gif(DGifOpen(&input, on_read, &error));
  if (gif == nullptr) reject(source, error);
  const int transparent = find_first_picture(gif.get(), source);
  const GifImageDesc& frame = gif->Image;
  if (frame.Width <= 0 || frame.Height <= 0) source.check_size(frame.Width, frame.Height);
  const int width = std::max(gif->SWidth, frame.Left + frame.Width);
  const int height = std::max(gif->SHeight, frame.Top + frame.Height);
  const bool has_alpha = transparent != NO_TRANSPARENT_COLOR;
  const std::int64_t area = std::int64_t{width} * height;
  source.begin_picture(width, height, (kRgb + (has_alpha ? 1 : 0)) * area + kGifState + width);

  // Outside of the frame: the transparent index if there is one, else 0. As in Pillow, the background index
  // is ignored.
  const ColorMapObject* map = frame.ColorMap != nullptr ? frame.ColorMap : gif->SColorMap;
  const GifColorType outside = color_of(map, has_alpha ? transparent : 0);
  Raster raster;
  raster.image = {width, height, std::vector<std::uint8_t>(area * 3)};
  std::uint8_t* rgb = raster.image.rgb.data();
  if (outside.Red != 0 || outside.Green != 0 || outside.Blue != 0) {
    for (std::int64_t i = 0; i < area; ++i) put(outside, rgb + 3 * i);
  }
  if (has_alpha) raster.alpha.resize(area);
  std::vector<GifByteType> row(frame.Width);
  for_each_stored_row(frame.Height, frame.Interlace, [&](int y) {
    if (DGifGetLine(gif.get(), row.data(), frame.Width) == GIF_ERROR) reject(source, gif->Error);
    const std::int64_t first = std::int64_t{frame.Top + y} * width + frame.Left;
    for (int x = 0; x < frame.Width; ++x) {
      put(color_of(map, row[x]), rgb + 3 * (first + x));
      if (has_alpha) raster.alpha[first + x] = row[x] == transparent ? 0 : 255;
    }
  });
  return raster;
}

}  // namespace glmocr
