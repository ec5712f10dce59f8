// SPDX-License-Identifier: Apache-2.0
#include "kernels/host/host_kv_store.h"

#include <utility>

namespace glmocr {
namespace {

// Elements of the keys of one layer, and of its values.
std::int64_t part_elements(const KvSpec& spec) {
  return spec.pages * spec.kv_heads * spec.page_size * spec.head_dim;
}

}  // namespace

std::int64_t HostKvStore::bytes(const KvSpec& spec) {
  return 2 * spec.layers * part_elements(spec) * size_of(spec.dtype);
}

HostKvStore::HostKvStore(const KvSpec& spec, const Device& device, Buffer memory)
    : KvStore(spec), device_(device), memory_(std::move(memory)) {
  GLMOCR_CHECK(memory_.bytes() == bytes(spec));
}

Tensor HostKvStore::part(std::int64_t index) const {
  const KvSpec& s = spec();
  GLMOCR_CHECK(0 <= index && index < 2 * s.layers);
  return memory_.view({s.pages, s.kv_heads, s.page_size, s.head_dim}, s.dtype,
                      index * part_elements(s) * size_of(s.dtype));
}

const HostKvStore& HostKvStore::of(const KvStore& store, const Device& device) {
  const auto* own = dynamic_cast<const HostKvStore*>(&store);
  GLMOCR_CHECK(own && &own->device_ == &device);
  return *own;
}

}  // namespace glmocr
