// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>

#include "kernels/cpu/kernel_table.h"

namespace glmocr::cpu {

// out [m, n] bf16 = round(x [m, k] · weight [n, k]ᵀ + bias), both bf16 as stored, by oneDNN on the calling
// thread alone. Shapes come again and again: each is prepared once. onednn.cc, or no_onednn.cc in builds
// without it.
struct Bf16Product {
  ConstRows x;
  ConstRows weight;
  const float* bias;  // [n] or null
  std::int64_t m, n, k;
  Bf16* out;
  std::int64_t out_stride;
};

// Whether bf16_product can be used: oneDNN is there and multiplies bf16 natively on this processor.
bool has_bf16_product();
void bf16_product(const Bf16Product& product);

}  // namespace glmocr::cpu
