// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "glmocr/model.h"
#include "tensor/device.h"

namespace glmocr {

// The type of activations that a reader computes in on this device.
inline DType compute_type(ComputeType wanted, const Device& device) {
  if (wanted == ComputeType::automatic) return device.prefers_bf16() ? DType::bf16 : DType::f32;
  return wanted == ComputeType::bf16 ? DType::bf16 : DType::f32;
}

}  // namespace glmocr
