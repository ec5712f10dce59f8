// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string_view>

#include "base/memory_budget.h"
#include "kernels/host/arena.h"

namespace glmocr {

// A block of ordinary memory, 64-byte aligned, with its share of the budget. Move-only.
class HostMemory {
 public:
  // Throws Error{memory} where the budget or the system has too little left.
  HostMemory(std::shared_ptr<MemoryBudget> budget, std::int64_t bytes, std::string_view what);

  std::byte* data() const { return memory_.get(); }
  std::int64_t bytes() const { return share_.bytes(); }

 private:
  struct Free {
    void operator()(std::byte* memory) const { std::free(memory); }
  };
  MemoryShare share_;
  std::unique_ptr<std::byte, Free> memory_;
};

using Arena = BlockArena<HostMemory>;

}  // namespace glmocr
