// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>

namespace glmocr {

// Bytes this process could still take: what the system calls available, capped by the cgroup's limit. 0 where
// neither can be read.
std::int64_t available_memory();

}  // namespace glmocr
