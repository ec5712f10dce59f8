// SPDX-License-Identifier: Apache-2.0
#include "kernels/cpu/thread_scratch.h"

#include <cstdlib>
#include <memory>

#include "base/error.h"

namespace glmocr::cpu {
namespace {

struct Free {
  void operator()(void* p) const { std::free(p); }
};
struct Block {
  std::unique_ptr<void, Free> memory;
  std::int64_t bytes = 0;
};

}  // namespace

void* thread_scratch(std::int64_t bytes) {
  thread_local Block block;
  if (bytes > block.bytes) {
    const std::int64_t rounded = (bytes + bytes / 4 + 4095) / 4096 * 4096;
    block.memory.reset();
    block.bytes = 0;
    block.memory.reset(std::aligned_alloc(4096, static_cast<std::size_t>(rounded)));
    if (!block.memory) fail(ErrorCode::memory, cat("the system has no ", rounded, " bytes of memory left"));
    block.bytes = rounded;
  }
  return block.memory.get();
}

}  // namespace glmocr::cpu
