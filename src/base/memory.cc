// SPDX-License-Identifier: Apache-2.0
#include "base/memory.h"

#include <algorithm>
#include <fstream>
#include <optional>
#include <string>
#include <utility>

namespace glmocr {
namespace {

std::optional<std::int64_t> read_number(const char* path) {
  std::ifstream file(path);
  std::int64_t number = 0;
  return file >> number ? std::optional(number) : std::nullopt;  // "max" is no number: no limit
}

std::int64_t system_available() {
  std::ifstream file("/proc/meminfo");
  std::string key;
  for (std::int64_t kilobytes = 0; file >> key;) {
    if (key == "MemAvailable:" && file >> kilobytes) return kilobytes * 1024;
    file.ignore(1 << 10, '\n');
  }
  return 0;
}

// What is left below the limit of a cgroup, version 2 or 1.
std::optional<std::int64_t> cgroup_available() {
  for (const auto& [limit_file, usage_file] :
       {std::pair{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"},
        std::pair{"/sys/fs/cgroup/memory/memory.limit_in_bytes",
                  "/sys/fs/cgroup/memory/memory.usage_in_bytes"}}) {
    const auto limit = read_number(limit_file), usage = read_number(usage_file);
    if (limit && usage) return std::max<std::int64_t>(*limit - *usage, 0);
  }
  return std::nullopt;
}

}  // namespace

std::int64_t available_memory() {
  const std::int64_t system = system_available();
  const auto cgroup = cgroup_available();
  return cgroup && (system == 0 || *cgroup < system) ? *cgroup : system;
}

}  // namespace glmocr
