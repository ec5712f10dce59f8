// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

namespace glmocr {

// Bytes this process could still allocate: the system's available memory, capped by the cgroup's limit. 0
// where neither can be read.
std::int64_t available_memory();

// A size in bytes as text: "512 B", "1.5 KiB", "64.0 MiB".
std::string size_text(std::int64_t bytes);

// Throws Error{memory}: of a limit that is below the `needed` bytes, the least that `what` can work with.
[[noreturn]] void fail_limit_too_small(std::int64_t limit, std::int64_t needed, std::string_view what);

}  // namespace glmocr
