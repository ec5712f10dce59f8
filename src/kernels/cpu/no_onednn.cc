// SPDX-License-Identifier: Apache-2.0
#include "base/error.h"
#include "kernels/cpu/onednn.h"

namespace glmocr::cpu {

bool has_bf16_product() { return false; }
void bf16_product(const Bf16Product&) { GLMOCR_CHECK(!"oneDNN is not part of this build"); }

}  // namespace glmocr::cpu
