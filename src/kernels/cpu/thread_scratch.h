// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>

namespace glmocr::cpu {

// Memory that grows only, so that a step like an earlier one takes nothing from the system.
class AlignedBlock {
 public:
  // huge_pages: for memory that several threads use from end to end.
  explicit AlignedBlock(bool huge_pages = false) : huge_pages_(huge_pages) {}

  // 64-byte aligned, valid until the next call. What it held is lost.
  std::byte* get(std::int64_t bytes);

 private:
  struct Free {
    void operator()(void* p) const { std::free(p); }
  };
  bool huge_pages_;
  std::unique_ptr<void, Free> memory_;
  std::int64_t bytes_ = 0;
};

// Memory of the calling thread for the task it runs: 64-byte aligned, valid until the next call on this
// thread, kept until the thread ends.
std::byte* thread_scratch(std::int64_t bytes);

inline float* thread_floats(std::int64_t count) {
  return reinterpret_cast<float*>(thread_scratch(count * 4));
}

}  // namespace glmocr::cpu
