// SPDX-License-Identifier: Apache-2.0
#include "engine/kv_cache.h"

#include <algorithm>
#include <numeric>

namespace glmocr::engine {

PagePool::PagePool(std::int64_t pages) : size_(pages), free_(static_cast<std::size_t>(pages)) {
  std::iota(free_.rbegin(), free_.rend(), 0);
}

void PagePool::take(std::int64_t count, std::vector<std::int32_t>& pages) {
  GLMOCR_CHECK(0 <= count && count <= free());
  pages.insert(pages.end(), free_.rbegin(), free_.rbegin() + count);
  free_.resize(free_.size() - static_cast<std::size_t>(count));
  peak_ = std::max(peak_, size_ - free());
}

void PagePool::give_back(std::vector<std::int32_t>& pages) {
  GLMOCR_CHECK(free() + std::ssize(pages) <= size_);
  free_.insert(free_.end(), pages.rbegin(), pages.rend());
  pages.clear();
}

std::int64_t KvCache::bytes_per_token(const TextConfig& config, DType compute) {
  return std::int64_t{2} * config.num_hidden_layers * config.num_key_value_heads * config.head_dim *
         size_of(compute);
}

KvCache::KvCache(const TextConfig& config, DType compute, std::int64_t pages, int page_size, Device& device)
    : pool_(pages),
      page_size_(page_size),
      buffer_(device.allocate(pages * page_size * bytes_per_token(config, compute))) {
  const Shape shape{pages, config.num_key_value_heads, page_size, config.head_dim};
  const std::int64_t bytes = shape.numel() * size_of(compute);
  for (int layer = 0; layer < config.num_hidden_layers; ++layer) {
    layers_.push_back({buffer_.view(shape, compute, 2 * layer * bytes),
                       buffer_.view(shape, compute, (2 * layer + 1) * bytes)});
  }
}

}  // namespace glmocr::engine
