// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <memory>
#include <string>
#include <string_view>

#include "kernels/host/host_kv_store.h"
#include "kernels/host/host_memory.h"
#include "kernels/kernels.h"

namespace glmocr {

// What the devices in ordinary memory share: memory, copies, weights as stored, the store of keys and values,
// steps that are not recorded. Each device adds its operations.
class HostDevice : public Device {
 public:
  explicit HostDevice(const DeviceOptions& options);

  int threads() const override { return pool_->size(); }
  StepSizes step_sizes() const override { return {}; }
  int bucket(int count) const override { return count; }

  const std::shared_ptr<MemoryBudget>& memory() const override { return memory_; }
  Buffer allocate(std::int64_t bytes) override;
  Buffer allocate_paid(std::int64_t bytes) override;
  Tensor scratch(const Shape& shape, DType dtype) override;
  std::int64_t arena_mark() const override { return arena_.mark(); }
  void arena_rewind(std::int64_t mark) override { arena_.rewind(mark); }
  void reserve_arena(std::int64_t bytes) override { arena_.reserve(bytes); }
  std::int64_t arena_peak_bytes() const override { return arena_.peak(); }

  void upload(const void* host, const Tensor& to) override;
  void download(const Tensor& from, void* host) override;
  void copy(const Tensor& from, const Tensor& to) override;
  Tensor borrow(const Tensor& host) override;
  Weight prepare(const Tensor& matrix, WeightUse use, Buffer& owner) override;
  bool multiplies_int8() const override { return true; }
  Weight prepare_int8(const Tensor& values, const Tensor& scales, Buffer& owner) override;
  std::int64_t kv_page_bytes(const KvSpec& spec) const override;
  std::unique_ptr<KvStore> make_kv_store(const KvSpec& spec) override;

  void run_step(const std::function<void()>& body) override;
  void run_step(const StepKey& key, const std::function<void()>& body) override;
  void forget_steps() override {}

  ThreadPool& pool() { return *pool_; }

 private:
  Buffer take(std::shared_ptr<MemoryBudget> budget, std::int64_t bytes, std::string_view what);

  std::shared_ptr<ThreadPool> pool_;
  std::shared_ptr<MemoryBudget> memory_;
  Arena arena_;
};

}  // namespace glmocr
