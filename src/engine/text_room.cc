// SPDX-License-Identifier: Apache-2.0
#include "engine/text_room.h"

#include <algorithm>

#include "image/inked_area.h"
#include "image/letter_height.h"

namespace glmocr::engine {
namespace {

// Heights are overestimated by less than this on most pictures.
constexpr double kHeightError = 1.25;

constexpr int kTile = 8;  // patches

Image crop(const Image& image, int left, int top, int size) {
  Image tile;
  tile.width = std::min(size, image.width - left);
  tile.height = std::min(size, image.height - top);
  tile.rgb.reserve(std::int64_t{3} * tile.width * tile.height);
  for (int y = top; y < top + tile.height; ++y) {
    const auto row = image.rgb.begin() + 3 * (std::int64_t{y} * image.width + left);
    tile.rgb.insert(tile.rgb.end(), row, row + std::int64_t{3} * tile.width);
  }
  return tile;
}

}  // namespace

TextRoom text_room(std::span<const PreprocessedImage> images, int patch_size) {
  TextRoom room;
  if (images.empty()) return room;
  room = {.area = 0, .line = 0};
  const double least = patch_size / 2.0;
  const int size = kTile * patch_size;
  for (const PreprocessedImage& image : images) {
    const Image& pixels = image.resized;
    for (int top = 0; top < pixels.height; top += size) {
      for (int left = 0; left < pixels.width; left += size) {
        const Image tile = crop(pixels, left, top, size);
        const double height = std::max(cautious_letter_height(tile).value_or(least) / kHeightError, least);
        room.area += static_cast<double>(inked_area(tile, static_cast<int>(height))) / (height * height);
      }
    }
    room.line = std::max(room.line, std::max(pixels.width, pixels.height) / least);
  }
  return room;
}

}  // namespace glmocr::engine
