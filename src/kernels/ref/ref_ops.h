// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "kernels/host/host_device.h"

namespace glmocr::ref {

class RefOps final : public Ops {
 public:
  explicit RefOps(HostDevice& device) : device_(device) {}

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
  void kv_write(const Tensor& k, const Tensor& v, const PagedKv& cache, const Tensor& slots) override;
  Tensor attention_paged(const Tensor& q, const PagedKv& cache, const PagedBatch& batch,
                         float scale) override;
  std::vector<SampledToken> sample(const Tensor& logits,
                                   std::span<const SampleRow> rows) override;  // sample.cc

 private:
  Tensor output(const Tensor& out, const Shape& shape, DType dtype) {
    GLMOCR_CHECK(!out || (out.shape == shape && out.dtype == dtype));
    return out ? out : device_.scratch(shape, dtype);
  }
  HostDevice& device_;
};

float apply(Activation activation, float value);

}  // namespace glmocr::ref
