// SPDX-License-Identifier: Apache-2.0
#include "kernels/cpu/thread_scratch.h"

#include <algorithm>

#include "base/error.h"
#include "base/numbers.h"
#include "kernels/host/huge_memory.h"

namespace glmocr::cpu {
namespace {

constexpr std::int64_t kLeastBlock = std::int64_t{4} << 20;

}  // namespace

std::byte* AlignedBlock::get(std::int64_t bytes) {
  if (bytes > bytes_) {
    // The system commits pages as they are used, so a generous block costs nothing and seldom has to grow.
    const std::int64_t rounded = std::max(kLeastBlock, round_up<std::int64_t>(bytes + bytes / 4, 4096));
    memory_.reset();
    bytes_ = 0;
    memory_.reset(std::aligned_alloc(4096, rounded));
    if (!memory_) fail(ErrorCode::memory, cat("the system has no ", rounded, " bytes of memory left"));
    bytes_ = rounded;
    if (huge_pages_) ask_for_huge_pages(memory_.get(), bytes_);
  }
  return static_cast<std::byte*>(memory_.get());
}

std::byte* thread_scratch(std::int64_t bytes) {
  thread_local AlignedBlock block;
  return block.get(bytes);
}

}  // namespace glmocr::cpu
