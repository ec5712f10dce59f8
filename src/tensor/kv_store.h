// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>

#include "tensor/dtype.h"

namespace glmocr {

// The shape of a store of keys and values. A token's slot is page · page_size + its offset in the page.
struct KvSpec {
  int layers = 0;
  int kv_heads = 0;
  int head_dim = 0;
  std::int64_t pages = 0;
  int page_size = 0;  // tokens
  DType dtype = DType::f32;

  bool operator==(const KvSpec&) const = default;
};

// Keys and values of all layers, in pages. Made by Device::make_kv_store, read and written by Ops::kv_write
// and Ops::attention_paged of the same device, which alone knows their layout.
class KvStore {
 public:
  virtual ~KvStore() = default;
  KvStore(const KvStore&) = delete;
  KvStore& operator=(const KvStore&) = delete;

  const KvSpec& spec() const { return spec_; }

 protected:
  explicit KvStore(const KvSpec& spec) : spec_(spec) {}

 private:
  KvSpec spec_;
};

}  // namespace glmocr
