// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <string>

namespace glmocr {

// Bytes this process could still take: what the system calls available, capped by the cgroup's limit. 0 where
// neither can be read.
std::int64_t available_memory();

// Bytes as a person reads them: "512 B", "1.5 KiB", "64.0 MiB".
std::string size_text(std::int64_t bytes);

}  // namespace glmocr
