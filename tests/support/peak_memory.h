// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <fstream>
#include <string>

namespace glmocr {

// Sanitizers keep memory that was freed, so that figures say little.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool kMemoryIsMeasurable = false;
#else
inline constexpr bool kMemoryIsMeasurable = true;
#endif

// A figure of /proc/self/status such as "VmHWM:", in bytes; -1 where it cannot be read.
inline std::int64_t own_memory(const std::string& name) {
  std::ifstream status("/proc/self/status");
  std::string key, line;
  std::int64_t kib = 0;
  while (status >> key) {
    if (key == name && status >> kib) return kib * 1024;
    std::getline(status, line);
  }
  return -1;
}

// By how many bytes this process's resident memory grows at most while `body` runs; -1 where the system does
// not tell.
template <class Body>
std::int64_t peak_growth(Body body) {
  std::ofstream("/proc/self/clear_refs") << 5 << std::flush;  // the peak becomes what is resident now
  const std::int64_t before = own_memory("VmHWM:");
  body();
  const std::int64_t after = own_memory("VmHWM:");
  return before < 0 || after < 0 ? -1 : after - before;
}

}  // namespace glmocr
