// SPDX-License-Identifier: Apache-2.0
#include "kernels/host/host_memory.h"

#include <algorithm>

#include "base/error.h"
#include "base/memory.h"
#include "base/numbers.h"

namespace glmocr {
namespace {

constexpr std::int64_t kAlignment = 64;
constexpr std::int64_t kLeastBlock = 1 << 20;

std::byte* aligned_memory(std::int64_t bytes) {
  const std::int64_t rounded = round_up(std::max<std::int64_t>(bytes, 1), kAlignment);
  void* memory = std::aligned_alloc(kAlignment, rounded);
  if (!memory) fail(ErrorCode::memory, cat("the system has no ", size_text(bytes), " of memory left"));
  return static_cast<std::byte*>(memory);
}

}  // namespace

HostMemory::HostMemory(std::shared_ptr<MemoryBudget> budget, std::int64_t bytes, std::string_view what)
    : share_(std::move(budget), bytes, what), memory_(aligned_memory(bytes)) {}

void Arena::replace_blocks(std::int64_t bytes) {
  blocks_.clear();  // first, so that old and new blocks never coexist
  current_ = 0;
  needed_ = 0;
  if (bytes > 0) blocks_.push_back({HostMemory(budget_, bytes, "workspace"), 0});
}

void Arena::reserve(std::int64_t bytes) {
  GLMOCR_CHECK(used_ == 0);
  const std::int64_t size = round_up(bytes, kAlignment);
  if (blocks_.size() == 1 && blocks_[0].memory.bytes() == size) return;
  replace_blocks(size);
}

void* Arena::take(std::int64_t bytes) {
  GLMOCR_CHECK(bytes >= 0);
  const std::int64_t size = round_up(bytes, kAlignment);
  if (used_ == 0 && blocks_.size() > 1) replace_blocks(std::max(needed_, size));
  const auto fits = [&](const Block& block) { return used_ - block.begin + size <= block.memory.bytes(); };
  while (current_ < std::ssize(blocks_) && !fits(blocks_[current_])) {
    if (++current_ < std::ssize(blocks_)) blocks_[current_].begin = used_;
  }
  if (current_ == std::ssize(blocks_)) {
    blocks_.push_back({HostMemory(budget_, std::max(size, kLeastBlock), "workspace"), used_});
  }
  const Block& block = blocks_[current_];
  std::byte* memory = block.memory.data() + (used_ - block.begin);
  used_ += size;
  needed_ = std::max(needed_, used_);
  peak_ = std::max(peak_, used_);
  return memory;
}

void Arena::rewind(std::int64_t mark) {
  GLMOCR_CHECK(0 <= mark && mark <= used_);
  used_ = mark;
  while (current_ > 0 && (current_ == std::ssize(blocks_) || blocks_[current_].begin >= mark)) --current_;
}

}  // namespace glmocr
