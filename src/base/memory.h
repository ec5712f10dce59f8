// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <string>

namespace glmocr {

// Bytes this process could still allocate: the system's available memory, capped by the cgroup's limit. 0
// where neither can be read.
std::int64_t available_memory();

// A size in bytes as text: "512 B", "1.5 KiB", "64.0 MiB".
std::string size_text(std::int64_t bytes);

}  // namespace glmocr
