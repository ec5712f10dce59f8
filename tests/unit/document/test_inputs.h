// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <string>

#include "glmocr/model.h"

namespace glmocr {

inline std::string picture(const std::string& name) {
  return std::string(GLMOCR_TEST_DATA) + "/pictures/" + name;
}

// A small model whose texts mean nothing, loaded once.
inline const Model& narrow_model() {
  static const Model model = [] {
    LoadOptions options;
    options.dtype = ComputeType::fp32;
    return Model::load(std::string(GLMOCR_SOURCE_DIR) + "/tests/data/narrow", options);
  }();
  return model;
}

}  // namespace glmocr
