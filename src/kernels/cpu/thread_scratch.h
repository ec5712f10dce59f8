// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>

namespace glmocr::cpu {

// Memory of the calling thread for the task it runs: 64-byte aligned, valid until the next call on this
// thread, kept until the thread ends. Grows only, so that steps like those before take nothing from the
// system.
void* thread_scratch(std::int64_t bytes);

inline float* thread_floats(std::int64_t count) { return static_cast<float*>(thread_scratch(count * 4)); }

}  // namespace glmocr::cpu
