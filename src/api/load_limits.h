// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <string_view>

#include "base/error.h"
#include "glmocr/model.h"

namespace glmocr {

// Throws Error{usage}, its text behind `prefix`, where the threads or the memory limit are negative.
inline void check_limits(const LoadOptions& options, std::string_view prefix = "") {
  if (options.threads < 0)
    fail(ErrorCode::usage, cat(prefix, "threads is ", options.threads, ", expected 0 or more"));
  if (options.memory_limit < 0)
    fail(ErrorCode::usage, cat(prefix, "memory_limit is ", options.memory_limit, ", expected 0 or more"));
}

}  // namespace glmocr
