// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstddef>
#include <cstdint>

namespace glmocr::cpu {

// Memory of the calling thread for the task it runs: 64-byte aligned, valid until the next call on this
// thread, kept until the thread ends. It grows only, so that a step like an earlier one takes nothing from
// the system.
std::byte* thread_scratch(std::int64_t bytes);

inline float* thread_floats(std::int64_t count) {
  return reinterpret_cast<float*>(thread_scratch(count * 4));
}

}  // namespace glmocr::cpu
