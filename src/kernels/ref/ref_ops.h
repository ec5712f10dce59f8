// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "kernels/host/host_device.h"

namespace glmocr::ref {

class RefOps final : public Ops {
 public:
  explicit RefOps(HostDevice& device) : device_(device) {}

  // embed.cc
  Tensor embed(const Weight& table, const Tensor& ids, DType compute) override;
  Tensor gather_rows(const Tensor& x, const Tensor& indices) override;
  void scatter_rows(const Tensor& rows, const Tensor& indices, const Tensor& out) override;
  void kv_write(const Tensor& k, const Tensor& v, KvStore& store, int layer, const Tensor& slots) override;
  // linear.cc
  Tensor linear(const Tensor& x, const Weight& weight, const LinearOptions& options) override;
  // activation.cc
  Tensor swiglu(const Tensor& gate, const Tensor& up) override;
  Tensor activate(const Tensor& x, Activation activation) override;
  // norm.cc
  Tensor rms_norm(const Tensor& x, const Tensor& weight, const NormOptions& options) override;
  Tensor layer_norm(const Tensor& x, const Tensor& weight, const Tensor& bias,
                    const NormOptions& options) override;
  // rope.cc
  Tensor rotary_table(const Tensor& positions, const Tensor& inv_freq, const Tensor& axis,
                      DType precision) override;
  Tensor rope(const Tensor& x, const Tensor& table, RopeStyle style, const Tensor& out) override;
  // attention.cc
  Tensor attention(const Tensor& q, const Tensor& k, const Tensor& v,
                   const AttentionOptions& options) override;
  Tensor attention_paged(const Tensor& q, const KvStore& store, int layer, const PagedBatch& batch,
                         float scale) override;
  // patchify.cc
  Tensor patchify(const Tensor& picture, const Tensor& normalized, const PatchOptions& options,
                  DType compute) override;
  // sample.cc
  void sample(const Tensor& logits, const SamplingTables& tables, const DecodeTables& next) override;
  // convolution.cc
  Tensor convolve(const Tensor& x, const Weight& weight, const Window& window,
                  const ConvolutionOptions& options) override;
  Tensor convolve_depthwise(const Tensor& x, const Tensor& weight, const Tensor& bias, const Window& window,
                            const ConvolutionOptions& options) override;
  // maps.cc
  Tensor max_pool(const Tensor& x, const Window& window, const Tensor& out) override;
  Tensor enlarge(const Tensor& x, const EnlargeOptions& options) override;
  Tensor add(const Tensor& x, const Tensor& y) override;
  // detection.cc
  Tensor deformable_attention(const Tensor& values, std::int64_t pages,
                              const DeformableQueries& queries) override;
  Tensor top_rows(const Tensor& scores, std::int64_t pages, std::int64_t count) override;
  Tensor mask_boxes(const Tensor& queries, const Tensor& map) override;
  Tensor refine_boxes(const Tensor& boxes, const Tensor& deltas) override;

 private:
  Tensor output(const Tensor& out, const Shape& shape, DType dtype) {
    GLMOCR_CHECK(!out || (out.shape == shape && out.dtype == dtype));
    return out ? out : device_.scratch(shape, dtype);
  }
  HostDevice& device_;
};

float apply(Activation activation, float value);

}  // namespace glmocr::ref
