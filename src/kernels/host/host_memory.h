// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string_view>
#include <vector>

#include "base/memory_budget.h"

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

// A stack allocator over memory blocks: take from the top, rewind to a mark. Blocks are kept after a rewind,
// so that a step like the previous one takes nothing from the system. A mark is the number of bytes taken.
class Arena {
 public:
  explicit Arena(std::shared_ptr<MemoryBudget> budget) : budget_(std::move(budget)) {}

  // 64-byte aligned. Throws Error{memory}. The first call on an empty arena replaces several blocks by one of
  // the size that was needed since they were made.
  void* take(std::int64_t bytes);
  // Makes the arena, which must be empty, one block of this size; 0: gives its memory back. Throws Error{memory}.
  void reserve(std::int64_t bytes);
  std::int64_t mark() const { return used_; }
  void rewind(std::int64_t mark);
  std::int64_t peak() const { return peak_; }  // the most that was ever taken

 private:
  struct Block {
    HostMemory memory;
    std::int64_t begin;  // the mark at which this block was entered
  };
  void replace_blocks(std::int64_t bytes);

  std::shared_ptr<MemoryBudget> budget_;
  std::vector<Block> blocks_;
  std::ptrdiff_t current_ = 0;  // the block that `take` tries first; later ones are empty
  std::int64_t used_ = 0;
  std::int64_t needed_ = 0;  // the most that was taken since the blocks were last joined or reserved
  std::int64_t peak_ = 0;
};

}  // namespace glmocr
