// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <atomic>
#include <limits>
#include <memory>
#include <random>
#include <string>
#include <utility>

#include "base/error.h"
#include "tensor/device.h"
#include "tensor/ops.h"

namespace glmocr::test {

// A device whose memory and operations fail at random, on top of another one, and which can be lost.
class FaultyDevice final : public Device {
 public:
  explicit FaultyDevice(std::unique_ptr<Device> inner, std::string name = "faulty")
      : inner_(std::move(inner)), name_(std::move(name)), ops_(*this) {}

  // From now on about one in so many calls fails; 0: none.
  void set_odds(unsigned one_in) { one_in_ = one_in; }
  // The call after so many others fails, and that one only.
  void fail_once_after(std::int64_t calls) { calls_left_ = calls; }
  bool has_failed() const { return calls_left_ < 0; }
  // After so many more calls nothing works any more.
  void lose_after(std::int64_t calls) { calls_until_lost_ = calls; }
  bool is_lost() const { return calls_until_lost_ < 0; }
  std::int64_t failed_allocations() const { return failed_allocations_; }
  std::int64_t failed_operations() const { return failed_operations_; }

  std::string name() const override { return name_; }
  std::string isa() const override { return inner_->isa(); }
  int threads() const override { return inner_->threads(); }
  Ops& ops() override { return ops_; }
  bool prefers_bf16() const override { return inner_->prefers_bf16(); }
  StepSizes step_sizes() const override { return inner_->step_sizes(); }
  int bucket(int count) const override { return inner_->bucket(count); }
  const std::shared_ptr<MemoryBudget>& memory() const override { return inner_->memory(); }

  Buffer allocate(std::int64_t bytes) override { return no_memory(), inner_->allocate(bytes); }
  Buffer allocate_paid(std::int64_t bytes) override { return no_memory(), inner_->allocate_paid(bytes); }
  Tensor scratch(const Shape& shape, DType dtype) override {
    return no_memory(), inner_->scratch(shape, dtype);
  }
  std::int64_t arena_mark() const override { return inner_->arena_mark(); }
  void arena_rewind(std::int64_t mark) override { inner_->arena_rewind(mark); }
  void reserve_arena(std::int64_t bytes) override {
    check_lost("reserve_arena"), inner_->reserve_arena(bytes);
  }
  void wait() override { check_lost("wait"), inner_->wait(); }
  std::int64_t arena_peak_bytes() const override { return inner_->arena_peak_bytes(); }

  void upload(const void* host, const Tensor& to) override { no_result("upload"), inner_->upload(host, to); }
  void download(const Tensor& from, void* host) override {
    no_result("download"), inner_->download(from, host);
  }
  void copy(const Tensor& from, const Tensor& to) override { no_result("copy"), inner_->copy(from, to); }
  Tensor borrow(const Tensor& host) override { return inner_->borrow(host); }
  Weight prepare(const Tensor& host, WeightUse use, Buffer& owner) override {
    return inner_->prepare(host, use, owner);
  }
  std::int64_t kv_page_bytes(const KvSpec& spec) const override { return inner_->kv_page_bytes(spec); }
  std::unique_ptr<KvStore> make_kv_store(const KvSpec& spec) override { return inner_->make_kv_store(spec); }
  void run_step(const std::function<void()>& body) override { no_result("run_step"), inner_->run_step(body); }
  void run_step(const StepKey& key, const std::function<void()>& body) override {
    no_result("run_step"), inner_->run_step(key, body);
  }
  void forget_steps() override { check_lost("forget_steps"), inner_->forget_steps(); }

 private:
  class FaultyOps final : public Ops {
   public:
    explicit FaultyOps(FaultyDevice& device) : device_(device) {}

    Tensor embed(const Weight& table, const Tensor& ids, DType compute) override {
      return ops("embed").embed(table, ids, compute);
    }
    Tensor linear(const Tensor& x, const Weight& weight, const LinearOptions& options) override {
      return ops("linear").linear(x, weight, options);
    }
    Tensor swiglu(const Tensor& gate, const Tensor& up) override { return ops("swiglu").swiglu(gate, up); }
    Tensor rms_norm(const Tensor& x, const Tensor& weight, const NormOptions& options) override {
      return ops("rms_norm").rms_norm(x, weight, options);
    }
    Tensor layer_norm(const Tensor& x, const Tensor& weight, const Tensor& bias,
                      const NormOptions& options) override {
      return ops("layer_norm").layer_norm(x, weight, bias, options);
    }
    Tensor activate(const Tensor& x, Activation activation) override {
      return ops("activate").activate(x, activation);
    }
    Tensor rotary_table(const Tensor& positions, const Tensor& inv_freq, const Tensor& axis,
                        DType precision) override {
      return ops("rotary_table").rotary_table(positions, inv_freq, axis, precision);
    }
    Tensor rope(const Tensor& x, const Tensor& table, RopeStyle style, const Tensor& out) override {
      return ops("rope").rope(x, table, style, out);
    }
    Tensor attention(const Tensor& q, const Tensor& k, const Tensor& v,
                     const AttentionOptions& options) override {
      return ops("attention").attention(q, k, v, options);
    }
    void kv_write(const Tensor& k, const Tensor& v, KvStore& store, int layer, const Tensor& slots) override {
      ops("kv_write").kv_write(k, v, store, layer, slots);
    }
    Tensor attention_paged(const Tensor& q, const KvStore& store, int layer, const PagedBatch& batch,
                           float scale) override {
      return ops("attention_paged").attention_paged(q, store, layer, batch, scale);
    }
    Tensor gather_rows(const Tensor& x, const Tensor& indices) override {
      return ops("gather_rows").gather_rows(x, indices);
    }
    void scatter_rows(const Tensor& rows, const Tensor& indices, const Tensor& out) override {
      ops("scatter_rows").scatter_rows(rows, indices, out);
    }
    Tensor patchify(const Tensor& picture, const Tensor& normalized, const PatchOptions& options,
                    DType compute) override {
      return ops("patchify").patchify(picture, normalized, options, compute);
    }
    void sample(const Tensor& logits, const SamplingTables& tables, const DecodeTables& next) override {
      ops("sample").sample(logits, tables, next);
    }

   private:
    Ops& ops(const char* name) const { return device_.no_result(name), device_.inner_->ops(); }
    FaultyDevice& device_;
  };

  void check_lost(const char* operation) const {
    if (is_lost()) fail(ErrorCode::device, cat("injected: ", operation, " failed"));
  }
  bool unlucky() {
    if (is_lost() || calls_until_lost_-- == 0) return true;
    if (calls_left_ >= 0 && calls_left_-- == 0) return true;
    return one_in_ > 0 && random_() % one_in_ == 0;
  }
  void no_memory() {
    if (!unlucky()) return;
    ++failed_allocations_;
    fail(ErrorCode::memory, "injected: no memory");
  }
  void no_result(const char* operation) {
    if (!unlucky()) return;
    ++failed_operations_;
    fail(ErrorCode::device, cat("injected: ", operation, " failed"));
  }

  std::unique_ptr<Device> inner_;
  std::string name_;
  FaultyOps ops_;
  std::atomic<unsigned> one_in_ = 0;
  std::int64_t calls_left_ = std::numeric_limits<std::int64_t>::max();
  std::int64_t calls_until_lost_ = std::numeric_limits<std::int64_t>::max();
  std::mt19937 random_{20261126};
  std::atomic<std::int64_t> failed_allocations_ = 0, failed_operations_ = 0;
};

}  // namespace glmocr::test
