// SPDX-License-Identifier: Apache-2.0
// Allocations that fail where a test wants it. Replaces the allocator of the program: include it in one of its files.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <new>

namespace glmocr {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool kRefusesMemory = false;  // sanitizers have an allocator of their own
#else
inline constexpr bool kRefusesMemory = true;
#endif

inline thread_local std::size_t refused_bytes = SIZE_MAX;

// While it exists, its thread gets no piece of memory of so many bytes or more.
class RefuseMemory {
 public:
  explicit RefuseMemory(std::size_t bytes) { refused_bytes = bytes; }
  ~RefuseMemory() { refused_bytes = SIZE_MAX; }
  RefuseMemory(const RefuseMemory&) = delete;
  RefuseMemory& operator=(const RefuseMemory&) = delete;
};

}  // namespace glmocr

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
void* operator new(std::size_t bytes) {
  if (bytes < glmocr::refused_bytes) {
    if (void* memory = std::malloc(bytes > 0 ? bytes : 1)) return memory;
  }
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
#endif
