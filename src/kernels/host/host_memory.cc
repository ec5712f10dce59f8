// SPDX-License-Identifier: Apache-2.0
#include "kernels/host/host_memory.h"

#include <algorithm>

#include "base/error.h"
#include "base/memory.h"
#include "base/numbers.h"

namespace glmocr {
namespace {

constexpr std::int64_t kAlignment = 64;

std::byte* aligned_memory(std::int64_t bytes) {
  const std::int64_t rounded = round_up(std::max<std::int64_t>(bytes, 1), kAlignment);
  void* memory = std::aligned_alloc(kAlignment, rounded);
  if (!memory) fail(ErrorCode::memory, cat("the system has no ", size_text(bytes), " of memory left"));
  return static_cast<std::byte*>(memory);
}

}  // namespace

HostMemory::HostMemory(std::shared_ptr<MemoryBudget> budget, std::int64_t bytes, std::string_view what)
    : share_(std::move(budget), bytes, what), memory_(aligned_memory(bytes)) {}

}  // namespace glmocr
