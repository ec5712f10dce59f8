// SPDX-License-Identifier: Apache-2.0
#include "glmocr/quantize.h"

#include "models/glm_ocr/quantize_files.h"
#include "store/hub_cache.h"

namespace glmocr {

QuantizedSnapshot quantize_snapshot(const std::string& from, const std::string& to) {
  return quantize_files(resolve_snapshot(from), to);
}

}  // namespace glmocr
