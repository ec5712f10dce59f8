// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "models/glm_ocr/config.h"
#include "tensor/device.h"
#include "tensor/ops.h"

namespace glmocr::engine {

// Pages that hold `tokens` tokens.
constexpr std::int64_t pages_for(std::int64_t tokens, std::int64_t page_size) {
  return (tokens + page_size - 1) / page_size;
}

// Hands out page numbers. The page given back last goes out first, at the start the lowest, so that few
// requests touch little memory.
class PagePool {
 public:
  explicit PagePool(std::int64_t pages);

  std::int64_t size() const { return size_; }
  std::int64_t free() const { return std::ssize(free_); }
  std::int64_t peak() const { return peak_; }  // the most that were out at a time

  // Appends `count` pages, of which there must be as many free.
  void take(std::int64_t count, std::vector<std::int32_t>& pages);
  void give_back(std::vector<std::int32_t>& pages);  // and empties the list

 private:
  std::int64_t size_;
  std::int64_t peak_ = 0;
  std::vector<std::int32_t> free_;  // a stack
};

// Keys and values of every layer, in one block of device memory cut into pages.
class KvCache {
 public:
  // Throws Error{memory} where the device has no room.
  KvCache(const TextConfig& config, DType compute, std::int64_t pages, int page_size, Device& device);

  PagePool& pool() { return pool_; }
  const PagePool& pool() const { return pool_; }
  std::span<const PagedKv> layers() const { return layers_; }  // [num_hidden_layers]
  int page_size() const { return page_size_; }
  std::int64_t bytes() const { return buffer_.bytes(); }

  // Keys and values of one token in all layers.
  static std::int64_t bytes_per_token(const TextConfig& config, DType compute);

 private:
  PagePool pool_;
  int page_size_;
  Buffer buffer_;
  std::vector<PagedKv> layers_;
};

}  // namespace glmocr::engine
