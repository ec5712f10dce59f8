// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <functional>

#include "kernels/cpu/isa.h"
#include "kernels/host/host_device.h"

namespace glmocr::cpu {

// The operations over one instruction set's kernels, parallel over the device's pool. Meanings: tensor/ops.h.
class CpuOps final : public Ops {
 public:
  CpuOps(HostDevice& device, const Isa& isa) : device_(device), isa_(isa), kernels_(isa.table()) {}

  Tensor embed(const Tensor& table, const Tensor& ids, DType compute) override;                 // embed.cc
  Tensor gather_rows(const Tensor& x, const Tensor& indices) override;                          // embed.cc
  void scatter_rows(const Tensor& rows, const Tensor& indices, const Tensor& out) override;     // embed.cc
  Tensor linear(const Tensor& x, const Tensor& weight, const LinearOptions& options) override;  // linear.cc
  Tensor swiglu(const Tensor& gate, const Tensor& up) override;      // activation.cc
  Tensor activate(const Tensor& x, Activation activation) override;  // activation.cc
  Tensor rms_norm(const Tensor& x, const Tensor& weight, const NormOptions& options) override;  // norm.cc
  Tensor layer_norm(const Tensor& x, const Tensor& weight, const Tensor& bias,
                    const NormOptions& options) override;  // norm.cc
  Tensor rotary_table(const Tensor& positions, const Tensor& inv_freq, const Tensor& axis,
                      DType precision) override;                                // rope.cc
  Tensor rope(const Tensor& x, const Tensor& table, RopeStyle style) override;  // rope.cc
  Tensor attention(const Tensor& q, const Tensor& k, const Tensor& v,
                   const AttentionOptions& options) override;  // attention.cc
  void kv_write(const Tensor& k, const Tensor& v, const PagedKv& cache,
                const Tensor& slots) override;  // embed.cc
  Tensor attention_paged(const Tensor& q, const PagedKv& cache, const PagedBatch& batch,
                         float scale) override;  // attention.cc
  std::vector<SampledToken> sample(const Tensor& logits,
                                   std::span<const SampleRow> rows) override;  // sample.cc

 private:
  struct Product;  // one linear: its operands, checked
  void few_rows(const Product& product);
  void dense(const Product& product);
  void dense_onednn(const Product& product);

  Tensor output(const Tensor& out, const Shape& shape, DType dtype) {
    GLMOCR_CHECK(!out || (out.shape == shape && out.dtype == dtype));
    return out ? out : device_.scratch(shape, dtype);
  }

  // body(begin, end) over [0, count) on the pool, in ranges worth at least kGrainBytes where an item moves
  // item_bytes; small work stays on this thread. By reference: std::function would copy the closure to the
  // heap.
  template <class Body>
  void parallel(std::int64_t count, std::int64_t item_bytes, Body&& body) {
    constexpr std::int64_t kGrainBytes = 64 << 10;
    device_.pool().parallel_for(
        count, std::max<std::int64_t>(1, kGrainBytes / std::max<std::int64_t>(1, item_bytes)),
        std::ref(body));
  }

  HostDevice& device_;
  const Isa& isa_;
  const KernelTable& kernels_;
};

}  // namespace glmocr::cpu
