// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>

#include "pdf/protocol.h"

namespace glmocr::pdf {

bool pixel_size(double width_pt, double height_pt, double dpi, int max_side, PixelSize& size) {
  if (!std::isfinite(width_pt) || !std::isfinite(height_pt) || width_pt <= 0 || height_pt <= 0) return false;
  const double longer = std::max(width_pt, height_pt);
  size.dpi = std::min(dpi, max_side * 72.0 / longer);
  const auto pixels = [&](double points) {
    return std::clamp<std::int32_t>(std::lround(std::min(points * size.dpi / 72, max_side * 1.0)), 1,
                                    max_side);
  };
  size.width = pixels(width_pt);
  size.height = pixels(height_pt);
  return true;
}

}  // namespace glmocr::pdf
