// SPDX-License-Identifier: Apache-2.0
#include "glmocr/quantize.h"

#include "kernels/kernels.h"
#include "models/glm_ocr/glm_ocr.h"
#include "models/glm_ocr/quantize_files.h"
#include "store/hub_cache.h"

namespace glmocr {

QuantizedSnapshot quantize_snapshot(const std::string& from, const std::string& to,
                                    const std::function<bool()>& cancelled) {
  const std::filesystem::path snapshot = resolve_snapshot(from);
  // Throws where the snapshot cannot be used. On this device matrices stay in their files.
  GlmOcr::load(snapshot, *open_device("ref"), DType::f32, Quantization::none);
  return quantize_files(snapshot, to, cancelled);
}

}  // namespace glmocr
