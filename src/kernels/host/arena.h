// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/memory_budget.h"
#include "base/numbers.h"

namespace glmocr {

// A stack allocator over memory blocks: take from the top, rewind to a mark. Blocks are kept after a rewind,
// so that a step like the previous one takes nothing from the system. A mark is the number of bytes taken.
// Memory(budget, bytes, what) is a block of 64-byte aligned memory with data() and bytes(); it throws
// Error{memory} where the budget or the system has too little left.
template <class Memory>
class BlockArena {
 public:
  explicit BlockArena(std::shared_ptr<MemoryBudget> budget) : budget_(std::move(budget)) {}

  // 64-byte aligned. Throws Error{memory}. The first call on an empty arena replaces several blocks by one of
  // the size that was needed since they were made.
  void* take(std::int64_t bytes) {
    GLMOCR_CHECK(bytes >= 0);
    const std::int64_t size = round_up(bytes, kAlignment);
    if (used_ == 0 && blocks_.size() > 1 && !held_) replace_blocks(std::max(needed_, size));
    const auto fits = [&](const Block& block) { return used_ - block.begin + size <= block.memory.bytes(); };
    while (current_ < std::ssize(blocks_) && !fits(blocks_[current_])) {
      if (++current_ < std::ssize(blocks_)) blocks_[current_].begin = used_;
    }
    if (current_ == std::ssize(blocks_)) {
      blocks_.push_back({Memory(budget_, std::max(size, kLeastBlock), "workspace"), used_});
    }
    const Block& block = blocks_[current_];
    std::byte* memory = block.memory.data() + (used_ - block.begin);
    used_ += size;
    needed_ = std::max(needed_, used_);
    peak_ = std::max(peak_, used_);
    return memory;
  }

  // Makes the arena, which must be empty, one block of this size; 0: gives its memory back. Throws
  // Error{memory}.
  void reserve(std::int64_t bytes) {
    GLMOCR_CHECK(used_ == 0);
    const std::int64_t size = round_up(bytes, kAlignment);
    if (blocks_.size() == 1 && blocks_[0].memory.bytes() == size) return;
    replace_blocks(size);
  }

  // What the next `take` would do to an empty arena of several blocks. Throws Error{memory}.
  void join_blocks() {
    if (used_ == 0 && blocks_.size() > 1) replace_blocks(needed_);
  }

  // While held, no call but reserve and join_blocks gives memory back: what was handed out stays valid.
  void hold(bool held) { held_ = held; }

  std::int64_t mark() const { return used_; }
  void rewind(std::int64_t mark) {
    GLMOCR_CHECK(0 <= mark && mark <= used_);
    used_ = mark;
    while (current_ > 0 && (current_ == std::ssize(blocks_) || blocks_[current_].begin >= mark)) --current_;
  }
  std::int64_t peak() const { return peak_; }        // the most that was ever taken
  std::int64_t version() const { return version_; }  // changes when memory that was handed out is given back

 private:
  static constexpr std::int64_t kAlignment = 64;
  static constexpr std::int64_t kLeastBlock = 1 << 20;

  struct Block {
    Memory memory;
    std::int64_t begin;  // the mark at which this block was entered
  };

  void replace_blocks(std::int64_t bytes) {
    blocks_.clear();  // first, so that old and new blocks never coexist
    ++version_;
    current_ = 0;
    needed_ = 0;
    if (bytes > 0) blocks_.push_back({Memory(budget_, bytes, "workspace"), 0});
  }

  std::shared_ptr<MemoryBudget> budget_;
  std::vector<Block> blocks_;
  std::ptrdiff_t current_ = 0;  // the block that `take` tries first; later ones are empty
  std::int64_t used_ = 0;
  std::int64_t needed_ = 0;  // the most that was taken since the blocks were last joined or reserved
  std::int64_t peak_ = 0;
  std::int64_t version_ = 0;
  bool held_ = false;
};

}  // namespace glmocr
