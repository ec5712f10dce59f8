// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "base/threads.h"
#include "kernels/kernels.h"

namespace glmocr {

// A stack of memory blocks: take from the top, rewind to a mark. Blocks are kept when given back, so that a
// step like the one before takes nothing from the system.
class Arena {
 public:
  explicit Arena(std::int64_t limit) : limit_(limit) {}

  void* take(std::int64_t bytes);  // 64-byte aligned; throws Error{memory}
  std::size_t mark() const { return used_; }
  void rewind(std::size_t mark);
  std::int64_t peak() const { return static_cast<std::int64_t>(peak_); }

  std::int64_t held = 0;  // bytes that Buffers hold, counted against the same limit

 private:
  struct FreeDeleter {
    void operator()(std::byte* p) const;
  };
  struct Block {
    std::unique_ptr<std::byte[], FreeDeleter> memory;
    std::size_t size;
    std::size_t begin;  // where the block starts in the arena's own counting
  };
  std::int64_t limit_;
  std::vector<Block> blocks_;
  std::size_t current_ = 0;  // block that `take` tries first
  std::size_t used_ = 0;
  std::size_t peak_ = 0;
  std::size_t reserved_ = 0;
};

// What every device in ordinary memory shares: buffers, the arena, copies. Backends add the operations.
class HostDevice : public Device {
 public:
  explicit HostDevice(const DeviceOptions& options);

  int threads() const override { return pool_.size(); }
  Buffer allocate(std::int64_t bytes) override;
  Tensor scratch(const Shape& shape, DType dtype) override;
  std::size_t arena_mark() const override { return arena_.mark(); }
  void arena_rewind(std::size_t mark) override { arena_.rewind(mark); }
  std::int64_t arena_peak_bytes() const override { return arena_.peak(); }
  void upload(const void* host, const Tensor& to) override;
  void download(const Tensor& from, void* host) override;
  Tensor place(const Tensor& host, Buffer& owner) override;
  void run_step(std::uint64_t key, const std::function<void()>& fn) override;

  ThreadPool& pool() { return pool_; }

 private:
  ThreadPool pool_;
  std::int64_t limit_;
  Arena arena_;
};

}  // namespace glmocr
