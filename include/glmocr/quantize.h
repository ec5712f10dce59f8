// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <string>

#include "glmocr/export.h"

namespace glmocr {

struct QuantizedSnapshot {
  std::int64_t matrices = 0;                       // that became eight bits
  std::int64_t bytes_before = 0, bytes_after = 0;  // of all tensors
};

// Writes a snapshot whose matrices of products are whole numbers of eight bits, in the names of compressed-tensors:
// `weight` int8 and `weight_scale` f32 [rows, 1], and quantization_config in config.json. All else is copied. `from`: as
// in Model::load; `to`: a folder, made where it is missing. Throws Error{model} for a snapshot that cannot be used or has
// such matrices already, Error{usage} where `to` holds a config.json, Error{input} naming a file that cannot be written.
GLMOCR_API QuantizedSnapshot quantize_snapshot(const std::string& from, const std::string& to);

}  // namespace glmocr
