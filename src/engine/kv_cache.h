// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <memory>
#include <vector>

#include "base/numbers.h"
#include "tensor/device.h"

namespace glmocr::engine {

// The number of pages for `tokens` tokens.
constexpr std::int64_t pages_for(std::int64_t tokens, std::int64_t page_size) {
  return divide_up(tokens, page_size);
}

// Allocates page numbers. The page given back last is taken first, at the start the lowest, so that few
// requests touch little memory.
class PagePool {
 public:
  explicit PagePool(std::int64_t pages);

  std::int64_t size() const { return size_; }
  std::int64_t free() const { return std::ssize(free_); }
  std::int64_t peak() const { return peak_; }  // the most pages in use at once

  // Appends `count` pages; that many must be free.
  void take(std::int64_t count, std::vector<std::int32_t>& pages);
  void give_back(std::vector<std::int32_t>& pages);  // and empties the list

 private:
  std::int64_t size_;
  std::int64_t peak_ = 0;
  std::vector<std::int32_t> free_;  // a stack
};

// Keys and values of every layer on the device, and which of their pages are free.
class KvCache {
 public:
  // Throws Error{memory} where the device has no room.
  KvCache(Device& device, const KvSpec& spec) : pool_(spec.pages), store_(device.make_kv_store(spec)) {}

  PagePool& pool() { return pool_; }
  const PagePool& pool() const { return pool_; }
  KvStore& store() { return *store_; }
  int page_size() const { return store_->spec().page_size; }

 private:
  PagePool pool_;
  std::unique_ptr<KvStore> store_;
};

}  // namespace glmocr::engine
