// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <memory>

#include "tensor/tensor.h"

namespace glmocr {

// Owns a block of device memory; move-only. The deleter comes from the device that made it.
class Buffer {
 public:
  Buffer() = default;
  Buffer(std::shared_ptr<void> memory, std::int64_t bytes, const Device* device)
      : memory_(std::move(memory)), bytes_(bytes), device_(device) {}
  Buffer(Buffer&&) noexcept = default;
  Buffer& operator=(Buffer&&) noexcept = default;

  void* data() const { return memory_.get(); }
  std::int64_t bytes() const { return bytes_; }
  explicit operator bool() const { return memory_ != nullptr; }

  // A contiguous tensor at a byte offset of the block.
  Tensor view(const Shape& shape, DType dtype, std::int64_t offset = 0) const {
    GLMOCR_CHECK(offset + shape.numel() * size_of(dtype) <= bytes_);
    return Tensor(static_cast<std::byte*>(data()) + offset, shape, dtype, device_);
  }

 private:
  std::shared_ptr<void> memory_;
  std::int64_t bytes_ = 0;
  const Device* device_ = nullptr;
};

}  // namespace glmocr
