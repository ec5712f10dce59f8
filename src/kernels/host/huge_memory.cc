// SPDX-License-Identifier: Apache-2.0
#include "kernels/host/huge_memory.h"

#include <sys/mman.h>

#include <utility>

#include "base/error.h"
#include "base/memory.h"
#include "base/numbers.h"

namespace glmocr {
namespace {

constexpr std::int64_t kPage = std::int64_t{2} << 20;

}  // namespace

void ask_for_huge_pages(void* data, std::int64_t bytes) {
#ifdef MADV_HUGEPAGE
  const auto first = reinterpret_cast<std::uintptr_t>(data);
  const std::uintptr_t begin = round_up<std::uintptr_t>(first, kPage), end = (first + bytes) / kPage * kPage;
  if (begin < end) ::madvise(static_cast<std::byte*>(data) + (begin - first), end - begin, MADV_HUGEPAGE);
#else
  static_cast<void>(data);
  static_cast<void>(bytes);
#endif
}

HugeMemory::HugeMemory(std::shared_ptr<MemoryBudget> budget, std::int64_t bytes, std::string_view what)
    : share_(std::move(budget), bytes, what), mapped_bytes_(bytes + kPage) {
  mapped_ = ::mmap(nullptr, mapped_bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped_ == MAP_FAILED)
    fail(ErrorCode::memory, cat("the system has no ", size_text(bytes), " of memory left"));
  const auto first = reinterpret_cast<std::uintptr_t>(mapped_);
  data_ = static_cast<std::byte*>(mapped_) + (round_up<std::uintptr_t>(first, kPage) - first);
  ask_for_huge_pages(data_, bytes);
}

HugeMemory::~HugeMemory() { ::munmap(mapped_, mapped_bytes_); }

}  // namespace glmocr
