// SPDX-License-Identifier: Apache-2.0
#include "models/glm_ocr/positions.h"

#include <algorithm>

#include "base/error.h"

namespace glmocr {

void MropePositions::append(std::int32_t t, std::int32_t h, std::int32_t w) {
  temporal.push_back(t);
  height.push_back(h);
  width.push_back(w);
}

MropePositions mrope_positions(std::span<const TokenId> ids, TokenId image_token_id,
                               std::span<const GridTHW> grids, int merge_size) {
  MropePositions positions;
  std::int32_t current = 0;  // position of the next text token
  std::int64_t image = 0;
  for (std::int64_t i = 0; i < std::ssize(ids);) {
    if (ids[i] != image_token_id) {
      positions.append(current, current, current);
      ++current;
      ++i;
      continue;
    }
    if (image == std::ssize(grids)) {
      fail(ErrorCode::input, cat("the prompt has image tokens for more than ", image, " pictures"));
    }
    const int rows = grids[image].h / merge_size, columns = grids[image].w / merge_size;
    for (int r = 0; r < rows; ++r) {
      for (int c = 0; c < columns; ++c, ++i) {
        if (i == std::ssize(ids) || ids[i] != image_token_id) {
          fail(ErrorCode::input, cat("picture ", image + 1, " needs ", rows * columns,
                                     " image tokens in a row, the prompt has ", r * columns + c));
        }
        positions.append(current, current + r, current + c);
      }
    }
    current += std::max(rows, columns);  // not the number of tokens
    ++image;
  }
  if (image != std::ssize(grids)) {
    fail(ErrorCode::input,
         cat("the prompt has image tokens for ", image, " pictures, expected ", grids.size()));
  }
  positions.delta = current - std::ssize(ids);
  return positions;
}

}  // namespace glmocr
