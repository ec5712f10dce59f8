// SPDX-License-Identifier: Apache-2.0
#include "kernels/cpu/thread_scratch.h"

#include <algorithm>
#include <cstdlib>
#include <memory>

#include "base/error.h"
#include "base/numbers.h"

namespace glmocr::cpu {
namespace {

constexpr std::int64_t kLeastBlock = std::int64_t{4} << 20;

struct Free {
  void operator()(void* p) const { std::free(p); }
};
struct Block {
  std::unique_ptr<void, Free> memory;
  std::int64_t bytes = 0;
};

}  // namespace

std::byte* thread_scratch(std::int64_t bytes) {
  thread_local Block block;
  if (bytes > block.bytes) {
    // The system commits pages as they are used, so a generous block costs nothing and seldom has to grow.
    const std::int64_t rounded = std::max(kLeastBlock, round_up<std::int64_t>(bytes + bytes / 4, 4096));
    block.memory.reset();
    block.bytes = 0;
    block.memory.reset(std::aligned_alloc(4096, rounded));
    if (!block.memory) fail(ErrorCode::memory, cat("the system has no ", rounded, " bytes of memory left"));
    block.bytes = rounded;
  }
  return static_cast<std::byte*>(block.memory.get());
}

}  // namespace glmocr::cpu
