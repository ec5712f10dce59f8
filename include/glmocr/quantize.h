// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <functional>
#include <string>

#include "glmocr/export.h"

namespace glmocr {

struct QuantizedSnapshot {
  std::int64_t matrices = 0;                       // that became eight bits
  std::int64_t bytes_before = 0, bytes_after = 0;  // of all tensors
};

// Writes a snapshot whose matrices of products are whole numbers of eight bits, in the names of compressed-tensors:
// `weight` int8 and `weight_scale` f32 [rows, 1], and quantization_config in config.json. All else but weights in other
// forms (.bin, .pt, .gguf and so on) is copied. `from`: as in Model::load; `to`: a folder, made where it is missing. It
// can be loaded when it holds a config.json, which is written last. `cancelled` is asked often, on this thread. Throws
// Error{model} for a snapshot that cannot be used, has such matrices already or a value that is not finite, Error{usage}
// where `to` holds a config.json, Error{input} naming a file that cannot be written, and Error{cancelled}.
GLMOCR_API QuantizedSnapshot quantize_snapshot(const std::string& from, const std::string& to,
                                               const std::function<bool()>& cancelled = {});

}  // namespace glmocr
