// SPDX-License-Identifier: Apache-2.0
#include "base/memory_budget.h"

#include <algorithm>

#include "base/error.h"
#include "base/memory.h"

namespace glmocr {

void MemoryBudget::take(std::int64_t bytes, std::string_view what) {
  GLMOCR_CHECK(bytes >= 0);
  const std::lock_guard lock(mutex_);
  if (limit_ > 0 && used_ + bytes > limit_) {
    fail(ErrorCode::memory, cat("no memory for ", what, ": it takes ", size_text(bytes), "; ",
                                size_text(used_), " of ", size_text(limit_), " are in use"));
  }
  used_ += bytes;
  peak_ = std::max(peak_, used_);
}

bool MemoryBudget::try_take(std::int64_t bytes) {
  GLMOCR_CHECK(bytes >= 0);
  const std::lock_guard lock(mutex_);
  if (limit_ > 0 && used_ + bytes > limit_) return false;
  used_ += bytes;
  peak_ = std::max(peak_, used_);
  return true;
}

void MemoryBudget::give_back(std::int64_t bytes) {
  const std::lock_guard lock(mutex_);
  GLMOCR_CHECK(0 <= bytes && bytes <= used_);
  used_ -= bytes;
}

bool MemoryBudget::has_room_to_prepare(std::int64_t bytes) const {
  return limit_ == 0 || used() + bytes <= limit_ / 4 * 3;
}

std::int64_t MemoryBudget::used() const {
  const std::lock_guard lock(mutex_);
  return used_;
}

std::int64_t MemoryBudget::peak() const {
  const std::lock_guard lock(mutex_);
  return peak_;
}

MemoryShare::MemoryShare(std::shared_ptr<MemoryBudget> budget, std::int64_t bytes, std::string_view what)
    : budget_(std::move(budget)), bytes_(bytes) {
  if (budget_) budget_->take(bytes, what);
}

MemoryShare MemoryShare::try_take(std::shared_ptr<MemoryBudget> budget, std::int64_t bytes) {
  MemoryShare share;
  if (!budget->try_take(bytes)) return share;
  share.budget_ = std::move(budget);
  share.bytes_ = bytes;
  return share;
}

MemoryShare::~MemoryShare() {
  if (budget_) budget_->give_back(bytes_);
}

}  // namespace glmocr
