// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "tensor/tensor.h"

// Maps of pixels, [pages, height, width, channels], as convolutions read and write them.
namespace glmocr::cpu {

inline bool is_map(const Tensor& t) { return t.rank() == 4 && t.strides[3] == 1; }
// Whether all pixels of a page have one distance.
inline bool has_even_rows(const Tensor& t) { return t.strides[1] == t.size(2) * t.strides[2]; }

inline Tensor page_of(const Tensor& t, std::int64_t page) {
  return t ? t.slice(0, page, page + 1) : Tensor();
}

// Where a pixel's channels begin in a map of one page, in elements.
inline std::int64_t pixel_offset(const Tensor& t, std::int64_t y, std::int64_t x) {
  return y * t.strides[1] + x * t.strides[2];
}

// Rows and columns of the result of one page.
struct Tile {
  std::int64_t page, y0, y1, x0, x1;
};

}  // namespace glmocr::cpu
