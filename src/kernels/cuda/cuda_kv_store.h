// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <utility>

#include "kernels/cuda/context.h"
#include "tensor/device.h"
#include "tensor/kv_store.h"

namespace glmocr::cuda {

// Keys and values in device memory: layer by layer the keys, then the values, each [pages, kv_heads,
// page_size, head_dim]. A page of a head is contiguous, so that a block of keys is read in long rows.
class CudaKvStore final : public KvStore {
 public:
  static std::int64_t bytes(const KvSpec& spec) {
    return 2 * spec.layers * part_elements(spec) * size_of(spec.dtype);
  }

  CudaKvStore(const KvSpec& spec, const Device& device, DeviceMemory memory)
      : KvStore(spec), device_(device), memory_(std::move(memory)) {}

  Tensor keys(int layer) const { return part(2 * layer); }
  Tensor values(int layer) const { return part(2 * layer + 1); }

  // The store as its own type. It must have been made by `device`.
  static const CudaKvStore& of(const KvStore& store, const Device& device) {
    const auto* own = dynamic_cast<const CudaKvStore*>(&store);
    GLMOCR_CHECK(own && &own->device_ == &device);
    return *own;
  }

 private:
  static std::int64_t part_elements(const KvSpec& spec) {
    return spec.pages * spec.kv_heads * spec.page_size * spec.head_dim;
  }
  Tensor part(std::int64_t index) const {
    const KvSpec& s = spec();
    GLMOCR_CHECK(0 <= index && index < 2 * s.layers);
    return Tensor(memory_.data() + index * part_elements(s) * size_of(s.dtype),
                  {s.pages, s.kv_heads, s.page_size, s.head_dim}, s.dtype, &device_);
  }

  const Device& device_;
  DeviceMemory memory_;
};

}  // namespace glmocr::cuda
