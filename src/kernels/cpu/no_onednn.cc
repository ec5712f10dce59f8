// SPDX-License-Identifier: Apache-2.0
#include "base/error.h"
#include "kernels/cpu/onednn.h"

namespace glmocr::cpu {

bool has_bf16_product() { return false; }

struct Bf16Products::State {};
Bf16Products::Bf16Products() = default;
Bf16Products::~Bf16Products() = default;

std::shared_ptr<const Bf16Product> Bf16Products::prepare(const Bf16Shape&) {
  GLMOCR_CHECK(!"oneDNN is not part of this build");
  return nullptr;
}

}  // namespace glmocr::cpu
