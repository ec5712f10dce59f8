// SPDX-License-Identifier: Apache-2.0
// A list of allowed system calls as a seccomp filter (Linux: Documentation/userspace-api/seccomp_filter.rst).
#pragma once
#include <linux/filter.h>

#include <cstdint>
#include <vector>

namespace glmocr::pdf {

// What an argument of a system call must be.
struct Condition {
  enum class Kind {
    is,             // the lower 32 bits equal `value`: descriptors, flags
    is_pointer,     // all 64 bits equal `value`
    has_none,       // none of the lower 32 bits of `value` is set
    zero_or_above,  // 0, or at least `value`
  };
  int argument;
  Kind kind;
  std::uint64_t value;
};

class Filter {
 public:
  Filter();
  // Allows the call where all conditions hold. A call may be allowed several times with other conditions.
  void allow(int call, const std::vector<Condition>& conditions = {});
  // Applies it to this process and all that it starts; not to be undone. Calls that are not allowed fail with EPERM,
  // those of another instruction set end the process. False where the system has no such filters.
  bool install();

 private:
  std::vector<sock_filter> program_;
};

}  // namespace glmocr::pdf
