// SPDX-License-Identifier: Apache-2.0
#include "image/orient.h"

#include <algorithm>
#include <cstdint>

namespace glmocr {
namespace {

// Pixels are moved in square tiles of this side, so that a transposition touches few cache lines at a time.
constexpr int kTile = 64;

}  // namespace

Image oriented(Image image, int orientation) {
  if (orientation <= 1 || orientation > 8) return image;
  const int w = image.width;
  const int h = image.height;
  const bool transposed = orientation >= 5;
  const bool mirror_x = orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
  const bool mirror_y = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;

  Image out{transposed ? h : w, transposed ? w : h, std::vector<std::uint8_t>(image.rgb.size())};
  // Where the source pixel (x, y) goes: a start and one step along each source axis, in pixels of `out`.
  const std::int64_t along = transposed ? out.width : 1;
  const std::int64_t across = transposed ? 1 : out.width;
  const std::int64_t step_x = mirror_x ? -along : along;
  const std::int64_t step_y = mirror_y ? -across : across;
  const std::int64_t start = (mirror_x ? (w - 1) * along : 0) + (mirror_y ? (h - 1) * across : 0);

  for (int y0 = 0; y0 < h; y0 += kTile) {
    for (int x0 = 0; x0 < w; x0 += kTile) {
      for (int y = y0; y < std::min(h, y0 + kTile); ++y) {
        for (int x = x0; x < std::min(w, x0 + kTile); ++x) {
          const std::uint8_t* from = &image.rgb[3 * (std::int64_t{y} * w + x)];
          std::copy_n(from, 3, &out.rgb[3 * (start + x * step_x + y * step_y)]);
        }
      }
    }
  }
  return out;
}

}  // namespace glmocr
