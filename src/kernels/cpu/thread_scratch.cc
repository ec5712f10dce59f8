// SPDX-License-Identifier: Apache-2.0
#include "kernels/cpu/thread_scratch.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdint>

#include "base/error.h"
#include "base/numbers.h"

namespace glmocr::cpu {
namespace {

constexpr std::int64_t kLeastBlock = std::int64_t{4} << 20;

}  // namespace

void ask_for_huge_pages(void* data, std::int64_t bytes) {
#ifdef MADV_HUGEPAGE
  constexpr std::uintptr_t kPage = std::uintptr_t{2} << 20;
  const auto first = reinterpret_cast<std::uintptr_t>(data);
  const std::uintptr_t begin = round_up(first, kPage), end = (first + bytes) / kPage * kPage;
  if (begin < end) ::madvise(static_cast<std::byte*>(data) + (begin - first), end - begin, MADV_HUGEPAGE);
#else
  static_cast<void>(data);
  static_cast<void>(bytes);
#endif
}

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
