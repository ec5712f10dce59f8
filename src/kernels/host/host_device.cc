// SPDX-License-Identifier: Apache-2.0
#include "kernels/host/host_device.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

namespace glmocr {
namespace {

constexpr std::size_t kAlignment = 64;
constexpr std::size_t kBlockSize = std::size_t{16} << 20;

std::byte* aligned_memory(std::size_t bytes) {
  const std::size_t rounded = (bytes + kAlignment - 1) / kAlignment * kAlignment;
  auto* memory = static_cast<std::byte*>(std::aligned_alloc(kAlignment, std::max(rounded, kAlignment)));
  if (!memory) fail(ErrorCode::memory, cat("the system has no ", bytes, " bytes of memory left"));
  return memory;
}

void check_limit(std::int64_t wanted, std::int64_t held, std::int64_t limit) {
  if (limit > 0 && held + wanted > limit) {
    fail(ErrorCode::memory,
         cat("memory limit reached: ", wanted, " bytes asked for, ", held, " of ", limit, " in use"));
  }
}

}  // namespace

void Arena::FreeDeleter::operator()(std::byte* p) const { std::free(p); }

void* Arena::take(std::int64_t bytes) {
  GLMOCR_CHECK(bytes >= 0);
  const std::size_t size = (static_cast<std::size_t>(bytes) + kAlignment - 1) / kAlignment * kAlignment;
  if (used_ == 0 && blocks_.size() > 1) {  // one block of the whole size: this step is contiguous
    blocks_.clear();
    blocks_.push_back({std::unique_ptr<std::byte[], FreeDeleter>(aligned_memory(reserved_)), reserved_, 0});
  }
  while (current_ < blocks_.size()) {
    Block& block = blocks_[current_];
    used_ = std::max(used_, block.begin);
    if (used_ + size <= block.begin + block.size) break;
    ++current_;
  }
  if (current_ == blocks_.size()) {
    const std::size_t block_size = std::max(size, std::max(kBlockSize, reserved_ / 4));
    check_limit(static_cast<std::int64_t>(size), held + static_cast<std::int64_t>(reserved_), limit_);
    blocks_.push_back(
        {std::unique_ptr<std::byte[], FreeDeleter>(aligned_memory(block_size)), block_size, reserved_});
    used_ = std::max(used_, reserved_);
    reserved_ += block_size;
  }
  Block& block = blocks_[current_];
  std::byte* memory = block.memory.get() + (used_ - block.begin);
  used_ += size;
  peak_ = std::max(peak_, used_);
  return memory;
}

void Arena::rewind(std::size_t mark) {
  GLMOCR_CHECK(mark <= used_);
  used_ = mark;
  while (current_ > 0 && (current_ == blocks_.size() || blocks_[current_].begin > mark)) --current_;
}

HostDevice::HostDevice(const DeviceOptions& options)
    : pool_(options.threads > 0 ? options.threads : default_thread_count()),
      limit_(options.memory_limit),
      arena_(options.memory_limit) {}

Buffer HostDevice::allocate(std::int64_t bytes) {
  check_limit(bytes, arena_.held, limit_);
  std::byte* memory = aligned_memory(static_cast<std::size_t>(bytes));
  arena_.held += bytes;
  return Buffer(std::shared_ptr<void>(memory,
                                      [this, bytes](void* p) {
                                        std::free(p);
                                        arena_.held -= bytes;
                                      }),
                bytes, this);
}

Tensor HostDevice::scratch(const Shape& shape, DType dtype) {
  return Tensor(arena_.take(shape.numel() * size_of(dtype)), shape, dtype, this);
}

void HostDevice::upload(const void* host, const Tensor& to) {
  GLMOCR_CHECK(to.is_contiguous());
  std::memcpy(to.data, host, static_cast<std::size_t>(to.bytes()));
}

void HostDevice::download(const Tensor& from, void* host) {
  GLMOCR_CHECK(from.is_contiguous());
  std::memcpy(host, from.data, static_cast<std::size_t>(from.bytes()));
}

Tensor HostDevice::place(const Tensor& host, Buffer& owner) {
  Tensor tensor = host;
  if (reinterpret_cast<std::uintptr_t>(host.data) % size_of(host.dtype) !=
      0) {  // a file may hold it misaligned
    owner = allocate(host.bytes());
    std::memcpy(owner.data(), host.data, static_cast<std::size_t>(host.bytes()));
    tensor.data = owner.data();
  }
  tensor.device = this;
  return tensor;
}

void HostDevice::run_step(std::uint64_t, const std::function<void()>& fn) {
  const ArenaScope scope(*this);
  fn();
}

}  // namespace glmocr
