// SPDX-License-Identifier: Apache-2.0
#include "engine/text_room.h"

#include <algorithm>

#include "image/inked_area.h"
#include "image/letter_height.h"

namespace glmocr::engine {
namespace {

// Heights are overestimated by less than this on most pictures.
constexpr double kHeightError = 1.25;

}  // namespace

TextRoom text_room(std::span<const PreprocessedImage> images, int patch_size) {
  TextRoom room;
  if (images.empty()) return room;
  room = {.area = 0, .line = 0};
  for (const PreprocessedImage& image : images) {
    const Image& pixels = image.resized;
    const double least = patch_size / 2.0;
    const double height = std::max(cautious_letter_height(pixels).value_or(least) / kHeightError, least);
    const auto square = static_cast<int>(height);
    room.area += static_cast<double>(inked_area(pixels, square)) / (height * height);
    room.line = std::max(room.line, std::max(pixels.width, pixels.height) / height);
  }
  return room;
}

}  // namespace glmocr::engine
