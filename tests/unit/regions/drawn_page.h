// SPDX-License-Identifier: Apache-2.0
// Pages drawn from marks that are shaped like letters.
#pragma once
#include <algorithm>
#include <cstdint>
#include <vector>

#include "glmocr/image.h"
#include "glmocr/region.h"

namespace glmocr {

class DrawnPage {
 public:
  DrawnPage(int width, int height, std::uint8_t paper = 255, std::uint8_t ink = 0) : ink_(ink) {
    image.width = width;
    image.height = height;
    image.rgb.assign(std::int64_t{3} * width * height, paper);
  }

  void fill(int x0, int y0, int x1, int y1, std::uint8_t value) {
    for (int y = std::max(0, y0); y < std::min(image.height, y1); ++y)
      for (int x = std::max(0, x0); x < std::min(image.width, x1); ++x)
        std::fill_n(image.rgb.begin() + 3 * (std::int64_t{y} * image.width + x), 3, value);
  }
  void bar(int x0, int y0, int x1, int y1) { fill(x0, y0, x1, y1, ink_); }

  // A letter like n, h, p or i: two stems and a bar, a dot above; `size` is the height of h.
  void letter(int x, int baseline, int size, int kind) {
    const int low = size * 2 / 3, stroke = std::max(1, size / 8), width = size / 2;
    const int top = kind == 1 ? size : low, bottom = kind == 2 ? size - low : 0;
    bar(x, baseline - top, x + stroke, baseline + bottom);
    bar(x + width - stroke, baseline - low, x + width, baseline);
    bar(x, baseline - low, x + width, baseline - low + stroke);
    if (kind == 3)
      bar(x + width / 2 - stroke / 2, baseline - size, x + width / 2 + stroke,
          baseline - size + stroke * 3 / 2);
  }

  // Words from x0 as far as x1.
  Box line(int x0, int baseline, int x1, int size) {
    int x = x0, count = 0, end = x0;
    while (x + size / 2 <= x1) {
      letter(x, baseline, size, count % 11 == 5 ? 3 : count % 13 == 3 ? 2 : count % 3 == 1 ? 1 : 0);
      end = x + size / 2;
      x = end + std::max(2, size / 8);
      if (++count % 5 == 0) x += size / 3;
    }
    return {double(x0), double(baseline - size), double(end), double(baseline + size / 3)};
  }

  // Lines at a distance of 1.75 sizes; the last one is short.
  Box paragraph(int x0, int y0, int x1, int lines, int size) {
    int baseline = y0 + size;
    for (int i = 0; i < lines; ++i, baseline += pitch(size))
      line(x0, baseline, i + 1 < lines ? x1 : (x0 + x1) / 2, size);
    return {double(x0), double(y0), double(x1), double(baseline - pitch(size) + size / 3)};
  }

  static int pitch(int size) { return size * 7 / 4; }

  Image image;

 private:
  std::uint8_t ink_;
};

inline bool holds(const Box& outer, const Box& inner, double slack = 0) {
  return outer.x0 <= inner.x0 + slack && outer.y0 <= inner.y0 + slack && outer.x1 >= inner.x1 - slack &&
         outer.y1 >= inner.y1 - slack;
}

}  // namespace glmocr
