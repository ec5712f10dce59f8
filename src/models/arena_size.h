// SPDX-License-Identifier: Apache-2.0
// How much of a device's arena the tensors of a model take: for the workspace_bytes of its parts.
#pragma once
#include <cstdint>

#include "base/numbers.h"
#include "tensor/dtype.h"

namespace glmocr {

// Bytes of one tensor; the arena hands out memory in units of 64 bytes.
constexpr std::int64_t arena_bytes(std::int64_t values, DType dtype) {
  return round_up<std::int64_t>(values * size_of(dtype), 64);
}

// The most that one operation takes for itself where that does not grow with the rows: task lists, partial
// sums of attention, widened copies of up to kFewRows rows.
inline constexpr std::int64_t kOperationScratch = std::int64_t{1} << 20;

}  // namespace glmocr
