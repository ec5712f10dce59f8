// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <memory>
#include <mutex>
#include <string_view>
#include <utility>

namespace glmocr {

// Limits the bytes that one model and what runs on it take together: converted weights, keys and values,
// picture features, workspace and the pictures of requests. Weights used where their file is mapped are not
// counted. Any thread.
class MemoryBudget {
 public:
  explicit MemoryBudget(std::int64_t limit = 0) : limit_(limit) {}  // 0: no limit

  // Throws Error{memory} naming `what`, the bytes asked for, in use and allowed, and then takes nothing.
  void take(std::int64_t bytes, std::string_view what);
  bool try_take(std::int64_t bytes);
  void give_back(std::int64_t bytes);

  // Whether weights of so many bytes are worth a copy in a layout of the device: a quarter of the limit stays for what
  // runs on them. Where not, they are used where their file is mapped.
  bool has_room_to_prepare(std::int64_t bytes) const;

  std::int64_t limit() const { return limit_; }
  std::int64_t used() const;
  std::int64_t peak() const;

 private:
  const std::int64_t limit_;
  mutable std::mutex mutex_;
  std::int64_t used_ = 0, peak_ = 0;  // guarded by mutex_
};

// Bytes taken from a budget; the destructor gives them back. Move-only.
class MemoryShare {
 public:
  MemoryShare() = default;
  // Takes the bytes. Throws as MemoryBudget::take does.
  MemoryShare(std::shared_ptr<MemoryBudget> budget, std::int64_t bytes, std::string_view what);
  // Empty where the budget has no room.
  static MemoryShare try_take(std::shared_ptr<MemoryBudget> budget, std::int64_t bytes);

  MemoryShare(MemoryShare&& other) noexcept { swap(other); }
  MemoryShare& operator=(MemoryShare&& other) noexcept {
    MemoryShare(std::move(other)).swap(*this);
    return *this;
  }
  ~MemoryShare();

  explicit operator bool() const { return budget_ != nullptr; }
  std::int64_t bytes() const { return bytes_; }

 private:
  void swap(MemoryShare& other) noexcept {
    std::swap(budget_, other.budget_);
    std::swap(bytes_, other.bytes_);
  }
  std::shared_ptr<MemoryBudget> budget_;
  std::int64_t bytes_ = 0;
};

}  // namespace glmocr
