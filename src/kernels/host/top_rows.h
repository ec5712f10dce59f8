// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>

#include "tensor/tensor.h"

// What Ops::top_rows and Ops::mask_boxes share in ordinary memory.
namespace glmocr {

// Ops::top_rows: pages · count indices. Throws Error{internal} where a page has fewer rows.
void choose_top_rows(const Tensor& scores, std::int64_t pages, std::int64_t count, std::int32_t* indices);

// Columns and rows of a map; x1 and y1 are the first outside. Empty where x1 is 0.
struct PixelBox {
  std::int64_t x0, y0, x1, y1;
};

// As a row of Ops::mask_boxes, [4], in a map of this size. In fp32, step by step as transformers does it.
void store_box(const PixelBox& box, std::int64_t width, std::int64_t height, float* row);

}  // namespace glmocr
