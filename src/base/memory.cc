// SPDX-License-Identifier: Apache-2.0
#include "base/memory.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <fstream>
#include <optional>
#include <string>
#include <utility>

#include "base/error.h"
#include "base/numbers.h"

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

std::string size_text(std::int64_t bytes) {
  constexpr std::array units{"B", "KiB", "MiB", "GiB", "TiB"};
  auto value = static_cast<double>(bytes);
  std::size_t unit = 0;
  for (; value >= 1024 && unit + 1 < units.size(); ++unit) value /= 1024;
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), "%.*f %s", unit == 0 ? 0 : 1, value, units[unit]);
  return text.data();
}

void fail_limit_too_small(std::int64_t limit, std::int64_t needed, std::string_view what) {
  constexpr std::int64_t kMebibyte = 1 << 20;
  fail(ErrorCode::memory,
       cat("the memory limit of ", size_text(limit), " is too small: ", divide_up(needed, kMebibyte),
           " MiB is the least that ", what, " can work with"));
}

}  // namespace glmocr
