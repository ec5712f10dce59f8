// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "tensor/buffer.h"
#include "tensor/device.h"
#include "tensor/kv_store.h"

namespace glmocr {

// Keys and values in ordinary memory: for each layer the keys, then the values, each [pages, kv_heads,
// page_size, head_dim].
class HostKvStore final : public KvStore {
 public:
  static std::int64_t bytes(const KvSpec& spec);

  // memory: bytes(spec) bytes from `device`.
  HostKvStore(const KvSpec& spec, const Device& device, Buffer memory);

  Tensor keys(int layer) const { return part(2 * layer); }
  Tensor values(int layer) const { return part(2 * layer + 1); }
  std::int64_t page_size() const { return spec().page_size; }

  // The store as its own type. It must have been made by `device`.
  static const HostKvStore& of(const KvStore& store, const Device& device);

 private:
  Tensor part(std::int64_t index) const;

  const Device& device_;
  Buffer memory_;
};

}  // namespace glmocr
