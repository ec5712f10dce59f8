// SPDX-License-Identifier: Apache-2.0
#include "engine/kv_cache.h"

#include <algorithm>
#include <numeric>

namespace glmocr::engine {

PagePool::PagePool(std::int64_t pages) : size_(pages), free_(pages) {
  std::iota(free_.rbegin(), free_.rend(), 0);
}

void PagePool::take(std::int64_t count, std::vector<std::int32_t>& pages) {
  GLMOCR_CHECK(0 <= count && count <= free());
  pages.insert(pages.end(), free_.rbegin(), free_.rbegin() + count);
  free_.resize(free() - count);
  peak_ = std::max(peak_, size_ - free());
}

void PagePool::give_back(std::vector<std::int32_t>& pages) {
  GLMOCR_CHECK(free() + std::ssize(pages) <= size_);
  free_.insert(free_.end(), pages.rbegin(), pages.rend());
  pages.clear();
}

}  // namespace glmocr::engine
