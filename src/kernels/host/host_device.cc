// SPDX-License-Identifier: Apache-2.0
#include "kernels/host/host_device.h"

#include <cstdint>
#include <cstring>
#include <utility>

#include "base/numbers.h"

namespace glmocr {

HostDevice::HostDevice(const DeviceOptions& options)
    : pool_(options.pool
                ? options.pool
                : shared_thread_pool(options.threads > 0 ? options.threads : default_thread_count())),
      memory_(options.memory ? options.memory : std::make_shared<MemoryBudget>()),
      arena_(memory_) {}

// The buffer owns the memory and shares ownership of the budget, so it may outlive the device.
Buffer HostDevice::take(std::shared_ptr<MemoryBudget> budget, std::int64_t bytes, std::string_view what) {
  const auto memory = std::make_shared<HostMemory>(std::move(budget), bytes, what);
  return Buffer(std::shared_ptr<void>(memory, memory->data()), bytes, this);
}

Buffer HostDevice::allocate(std::int64_t bytes) { return take(memory_, bytes, "weights and tables"); }
Buffer HostDevice::allocate_paid(std::int64_t bytes) { return take(nullptr, bytes, ""); }

Tensor HostDevice::scratch(const Shape& shape, DType dtype) {
  return Tensor(arena_.take(shape.numel() * size_of(dtype)), shape, dtype, this);
}

void HostDevice::upload(const void* host, const Tensor& to) {
  GLMOCR_CHECK(to.is_contiguous());
  if (to.bytes() > 0) std::memcpy(to.data, host, to.bytes());
}

void HostDevice::download(const Tensor& from, void* host) {
  GLMOCR_CHECK(from.is_contiguous());
  if (from.bytes() > 0) std::memcpy(host, from.data, from.bytes());
}

void HostDevice::copy(const Tensor& from, const Tensor& to) {
  GLMOCR_CHECK(from.shape == to.shape && from.dtype == to.dtype);
  GLMOCR_CHECK(from.is_contiguous() && to.is_contiguous());
  if (from.bytes() > 0) std::memcpy(to.data, from.data, from.bytes());
}

Tensor HostDevice::borrow(const Tensor& host) {
  Tensor tensor = host;
  tensor.device = this;
  return tensor;
}

Weight HostDevice::prepare(const Tensor& matrix, WeightUse use, Buffer& owner) {
  GLMOCR_CHECK(matrix.rank() == 2 && matrix.is_contiguous());
  Weight weight;
  weight.data = borrow(matrix);
  // In a file, values may be at addresses that are not a multiple of their size.
  if (reinterpret_cast<std::uintptr_t>(matrix.data) % size_of(matrix.dtype) != 0) {
    owner = allocate(matrix.bytes());
    weight.data = owner.view(matrix.shape, matrix.dtype);
    upload(matrix.data, weight.data);
  }
  weight.out_features = matrix.size(0);
  weight.in_features = matrix.size(1);
  weight.use = use;
  return weight;
}

Weight HostDevice::prepare_int8(const Tensor& values, const Tensor& scales, Buffer& owner) {
  GLMOCR_CHECK(values.rank() == 2 && values.is_contiguous() && scales.numel() == values.size(0));
  const std::int64_t at = round_up<std::int64_t>(values.bytes(), 64);
  owner = allocate(at + scales.bytes());
  Weight weight;
  weight.data = owner.view(values.shape, DType::i8);
  weight.scale = owner.view({scales.numel()}, DType::f32, at);
  upload(values.data, weight.data);
  upload(scales.data, weight.scale);
  weight.out_features = values.size(0);
  weight.in_features = values.size(1);
  return weight;
}

std::int64_t HostDevice::kv_page_bytes(const KvSpec& spec) const {
  KvSpec page = spec;
  page.pages = 1;
  return HostKvStore::bytes(page);
}

std::unique_ptr<KvStore> HostDevice::make_kv_store(const KvSpec& spec) {
  return std::make_unique<HostKvStore>(spec, *this,
                                       take(memory_, HostKvStore::bytes(spec), "keys and values"));
}

void HostDevice::run_step(const std::function<void()>& body) {
  const ArenaScope scope(*this);
  body();
}

void HostDevice::run_step(const StepKey&, const std::function<void()>& body) { run_step(body); }

}  // namespace glmocr
