// SPDX-License-Identifier: Apache-2.0
// Sizes of tensors in a device's arena, for the workspace_bytes functions of the models.
#pragma once
#include <cstdint>

#include "base/numbers.h"
#include "tensor/dtype.h"

namespace glmocr {

// Bytes of one tensor; the arena allocates in units of 64 bytes.
constexpr std::int64_t arena_bytes(std::int64_t values, DType dtype) {
  return round_up<std::int64_t>(values * size_of(dtype), 64);
}

// Allowance for what one operation takes for itself: task lists, partial sums of attention, widened copies of
// up to kFewRows rows.
inline constexpr std::int64_t kOperationScratch = std::int64_t{1} << 20;

}  // namespace glmocr
