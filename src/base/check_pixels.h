// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <algorithm>
#include <cstdint>
#include <string>

#include "base/error.h"
#include "glmocr/image.h"

namespace glmocr {

// A caller of the library fills pictures himself. Throws Error{input}, naming the picture, where there is no pixel or
// the bytes are not three for each.
inline void check_pixels(const Image& image, const std::string& name) {
  const std::int64_t pixels = std::int64_t{std::max(image.width, 0)} * std::max(image.height, 0);
  const std::int64_t bytes = std::ssize(image.rgb);
  if (pixels > 0 && bytes % 3 == 0 && bytes / 3 == pixels) return;
  fail(ErrorCode::input, cat(name, ": ", image.width, "x", image.height, " with ", bytes,
                             " bytes of pixels, expected 3 per pixel and at least one pixel"));
}

}  // namespace glmocr
