// SPDX-License-Identifier: Apache-2.0
#include "models/glm_ocr/tensor_names.h"

#include <array>
#include <utility>

namespace glmocr {

std::string mlx_name(const std::string& official) {
  static const std::array<std::pair<std::string, std::string>, 3> prefixes{{
      {"lm_head.", "language_model.lm_head."},
      {"model.language_model.", "language_model.model."},
      {"model.visual.", "vision_tower."},
  }};
  for (const auto& [from, to] : prefixes) {
    if (official.starts_with(from)) return to + official.substr(from.size());
  }
  return official;
}

std::string mtp_prefix(int num_hidden_layers) {
  return "model.language_model.layers." + std::to_string(num_hidden_layers) + ".";
}

}  // namespace glmocr
