// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <string>

namespace glmocr {

// The name under which an mlx-vlm conversion stores a tensor of the published snapshot:
//   lm_head.*                 language_model.lm_head.*
//   model.language_model.*    language_model.model.*
//   model.visual.*            vision_tower.*
// Its convolution kernels are channels-last. (mlx_vlm/models/glm_ocr, sanitize.)
std::string mlx_name(const std::string& official);

// Where the tensors of the multi-token-prediction layer begin: "model.language_model.layers.16."
std::string mtp_prefix(int num_hidden_layers);

}  // namespace glmocr
