// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <limits>
#include <span>
#include <vector>

#include "models/glm_ocr/glm_ocr.h"

namespace glmocr::test {

// All of the pictures in one step. `pass` owns the features.
inline Tensor encode_pictures(const GlmOcr& model, std::span<const PreprocessedImage* const> pictures,
                              VisionPass& pass) {
  std::vector<GridTHW> grids;
  for (const PreprocessedImage* picture : pictures) grids.push_back(picture->grid);
  pass = model.vision().begin(grids);
  const auto patches = [&](std::int64_t begin, std::int64_t end) {
    return model.patches(pictures, begin, end);
  };
  model.vision().run(pass, patches, std::numeric_limits<double>::infinity());
  return pass.features();
}

}  // namespace glmocr::test
