// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

#include "base/memory_budget.h"

namespace glmocr {

// Asks for pages of 2 MiB where the system has them: memory that is used from end to end then misses the translation of few
// addresses. A wish: without it that takes longer.
void ask_for_huge_pages(void* data, std::int64_t bytes);

// A block of memory for what is read from end to end, with its share of the budget: it begins with a page of 2 MiB and
// consists of such pages where the system has them, so that reading it seldom waits for the translation of an address. It
// comes from the system at once: memory that was used before in small pages stays in those. Neither copied nor moved.
class HugeMemory {
 public:
  // Throws Error{memory} where the budget or the system has too little left.
  HugeMemory(std::shared_ptr<MemoryBudget> budget, std::int64_t bytes, std::string_view what);
  ~HugeMemory();
  HugeMemory(const HugeMemory&) = delete;
  HugeMemory& operator=(const HugeMemory&) = delete;

  std::byte* data() const { return data_; }

 private:
  MemoryShare share_;
  void* mapped_ = nullptr;
  std::int64_t mapped_bytes_;
  std::byte* data_ = nullptr;
};

}  // namespace glmocr
