// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "kernels/kernels.h"
#include "tensor/device.h"
#include "tensor/ops.h"

namespace glmocr::test {

// A device that records steps as a GPU would, on top of "ref". It records the operations of a step's body the
// first time it sees the key; afterwards it replays them on the same tensors and does not call the body. A
// body that uploads, downloads or allocates fails. Sizes of steps come in buckets.
class RecordingDevice final : public Device {
 public:
  explicit RecordingDevice(int depth = 1, const DeviceOptions& options = {.threads = 1})
      : inner_(open_device("ref", options)), depth_(depth), ops_(*this) {
    inner_->reserve_arena(std::int64_t{64} << 20);  // one block: addresses stay the same from step to step
  }

  std::int64_t bodies_called() const { return bodies_called_; }  // of steps with keys
  std::int64_t replays() const { return replays_; }

  std::string name() const override { return "recording"; }
  std::string isa() const override { return ""; }
  int threads() const override { return inner_->threads(); }
  Ops& ops() override { return ops_; }
  bool prefers_bf16() const override { return false; }
  StepSizes step_sizes() const override {
    StepSizes sizes = inner_->step_sizes();
    sizes.depth = depth_;
    return sizes;
  }
  // Powers of two, at least 2: even a single row is padded.
  int bucket(int count) const override {
    int size = 2;
    while (size < count) size *= 2;
    return size;
  }

  const std::shared_ptr<MemoryBudget>& memory() const override { return inner_->memory(); }
  Buffer allocate(std::int64_t bytes) override { return refuse("allocates"), inner_->allocate(bytes); }
  Buffer allocate_paid(std::int64_t bytes) override {
    return refuse("allocates"), inner_->allocate_paid(bytes);
  }
  Tensor scratch(const Shape& shape, DType dtype) override {
    return record([=, this] { return inner_->scratch(shape, dtype); });
  }
  std::int64_t arena_mark() const override { return inner_->arena_mark(); }
  void arena_rewind(std::int64_t mark) override {
    record_void([=, this] { inner_->arena_rewind(mark); });
  }
  void reserve_arena(std::int64_t) override {}  // done by the constructor
  std::int64_t arena_peak_bytes() const override { return inner_->arena_peak_bytes(); }

  void upload(const void* host, const Tensor& to) override { refuse("uploads"), inner_->upload(host, to); }
  void download(const Tensor& from, void* host) override {
    refuse("downloads"), inner_->download(from, host);
  }
  void copy(const Tensor& from, const Tensor& to) override {
    record_void([=, this] { inner_->copy(from, to); });
  }
  Tensor borrow(const Tensor& host) override { return refuse("borrows"), inner_->borrow(host); }
  Weight prepare(const Tensor& host, WeightUse use, Buffer& owner) override {
    return refuse("prepares a weight"), inner_->prepare(host, use, owner);
  }
  std::int64_t kv_page_bytes(const KvSpec& spec) const override { return inner_->kv_page_bytes(spec); }
  std::unique_ptr<KvStore> make_kv_store(const KvSpec& spec) override { return inner_->make_kv_store(spec); }

  void run_step(const std::function<void()>& body) override { inner_->run_step(body); }
  void run_step(const StepKey& key, const std::function<void()>& body) override {
    for (const auto& [known, operations] : recordings_) {
      if (!(known == key)) continue;
      ++replays_;
      inner_->run_step([&operations = operations] {
        for (const std::function<void()>& operation : operations) operation();
      });
      return;
    }
    ++bodies_called_;
    std::vector<std::function<void()>> operations;
    inner_->run_step([&] {
      recording_ = &operations;
      try {
        body();
      } catch (...) {
        recording_ = nullptr;
        throw;
      }
      recording_ = nullptr;
    });
    recordings_.emplace_back(key, std::move(operations));
  }

  void forget_steps() override { recordings_.clear(); }

  // Runs an operation and records it. When it is replayed, its result must have the same address.
  template <class Operation>
  Tensor record(Operation operation) {
    const Tensor result = operation();
    if (recording_) {
      recording_->push_back([operation, result] { GLMOCR_CHECK(operation().data == result.data); });
    }
    return result;
  }
  template <class Operation>
  void record_void(Operation operation) {
    operation();
    if (recording_) recording_->push_back(operation);
  }
  void refuse(const char* what) const {
    if (recording_) fail(ErrorCode::internal, cat("the body of a recorded step ", what));
  }

 private:
  class RecordingOps final : public Ops {
   public:
    explicit RecordingOps(RecordingDevice& device) : device_(device) {}

    Tensor embed(const Weight& table, const Tensor& ids, DType compute) override {
      return device_.record([=, this] { return ops().embed(table, ids, compute); });
    }
    Tensor linear(const Tensor& x, const Weight& weight, const LinearOptions& options) override {
      return device_.record([=, this] { return ops().linear(x, weight, options); });
    }
    Tensor swiglu(const Tensor& gate, const Tensor& up) override {
      return device_.record([=, this] { return ops().swiglu(gate, up); });
    }
    Tensor rms_norm(const Tensor& x, const Tensor& weight, const NormOptions& options) override {
      return device_.record([=, this] { return ops().rms_norm(x, weight, options); });
    }
    Tensor layer_norm(const Tensor& x, const Tensor& weight, const Tensor& bias,
                      const NormOptions& options) override {
      return device_.record([=, this] { return ops().layer_norm(x, weight, bias, options); });
    }
    Tensor activate(const Tensor& x, Activation activation) override {
      return device_.record([=, this] { return ops().activate(x, activation); });
    }
    Tensor rotary_table(const Tensor& positions, const Tensor& inv_freq, const Tensor& axis,
                        DType precision) override {
      return device_.record([=, this] { return ops().rotary_table(positions, inv_freq, axis, precision); });
    }
    Tensor rope(const Tensor& x, const Tensor& table, RopeStyle style, const Tensor& out) override {
      return device_.record([=, this] { return ops().rope(x, table, style, out); });
    }
    Tensor attention(const Tensor& q, const Tensor& k, const Tensor& v,
                     const AttentionOptions& options) override {
      device_.refuse("takes segments from the host");
      return ops().attention(q, k, v, options);
    }
    void kv_write(const Tensor& k, const Tensor& v, KvStore& store, int layer, const Tensor& slots) override {
      device_.record_void([=, this, &store] { ops().kv_write(k, v, store, layer, slots); });
    }
    Tensor attention_paged(const Tensor& q, const KvStore& store, int layer, const PagedBatch& batch,
                           float scale) override {
      return device_.record(
          [=, this, &store] { return ops().attention_paged(q, store, layer, batch, scale); });
    }
    Tensor gather_rows(const Tensor& x, const Tensor& indices) override {
      return device_.record([=, this] { return ops().gather_rows(x, indices); });
    }
    void scatter_rows(const Tensor& rows, const Tensor& indices, const Tensor& out) override {
      device_.record_void([=, this] { ops().scatter_rows(rows, indices, out); });
    }
    Tensor patchify(const Tensor& picture, const Tensor& normalized, const PatchOptions& options,
                    DType compute) override {
      return device_.record([=, this] { return ops().patchify(picture, normalized, options, compute); });
    }
    void sample(const Tensor& logits, const SamplingTables& tables, const DecodeTables& next) override {
      device_.record_void([=, this] { ops().sample(logits, tables, next); });
    }

   private:
    Ops& ops() const { return device_.inner_->ops(); }
    RecordingDevice& device_;
  };

  std::unique_ptr<Device> inner_;
  int depth_;
  RecordingOps ops_;
  std::vector<std::pair<StepKey, std::vector<std::function<void()>>>> recordings_;
  std::vector<std::function<void()>>* recording_ = nullptr;  // while a body runs
  std::int64_t bodies_called_ = 0, replays_ = 0;
};

}  // namespace glmocr::test
