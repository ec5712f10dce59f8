// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <algorithm>
#include <initializer_list>

#include "kernels/cuda/context.h"
#include "tensor/device.h"
#include "tensor/ops.h"

namespace glmocr::cuda {

class CudaOps final : public Ops {
 public:
  CudaOps(Device& device, Context& context) : device_(device), context_(context) {}

  // embed.cu
  Tensor embed(const Weight& table, const Tensor& ids, DType compute) override;
  Tensor gather_rows(const Tensor& x, const Tensor& indices) override;
  void scatter_rows(const Tensor& rows, const Tensor& indices, const Tensor& out) override;
  void kv_write(const Tensor& k, const Tensor& v, KvStore& store, int layer, const Tensor& slots) override;
  // linear.cu; its kernels are in linear_*.cu
  Tensor linear(const Tensor& x, const Weight& weight, const LinearOptions& options) override;
  Tensor gated_linear(const Tensor& x, const Weight& gate, const Weight& up, RowClass rows) override;
  std::array<Tensor, 3> linear_three(const Tensor& x, const std::array<const Weight*, 3>& weights,
                                     RowClass rows, const std::array<Tensor, 3>& out) override;
  // activation.cu
  Tensor swiglu(const Tensor& gate, const Tensor& up) override;
  Tensor activate(const Tensor& x, Activation activation) override;
  // norm.cu
  Tensor rms_norm(const Tensor& x, const Tensor& weight, const NormOptions& options) override;
  void add_norm(const Tensor& x, const Tensor& y, const Tensor& weight, const Tensor& next, float eps,
                const Tensor& out) override;
  Tensor layer_norm(const Tensor& x, const Tensor& weight, const Tensor& bias,
                    const NormOptions& options) override;
  // rope.cu
  Tensor rotary_table(const Tensor& positions, const Tensor& inv_freq, const Tensor& axis,
                      DType precision) override;
  Tensor rope(const Tensor& x, const Tensor& table, RopeStyle style, const Tensor& out) override;
  Tensor norm_rope(const Tensor& x, const Tensor& weight, float eps, const Tensor& table, RopeStyle style,
                   const Tensor& out) override;
  Tensor rope_kv_write(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& table,
                       RopeStyle style, const KvTarget& target) override;
  // attention.cu; its kernels are in attention_*.cu
  Tensor attention(const Tensor& q, const Tensor& k, const Tensor& v,
                   const AttentionOptions& options) override;
  Tensor attention_paged(const Tensor& q, const KvStore& store, int layer, const PagedBatch& batch,
                         float scale) override;
  // decoder_layers.cu
  bool decoder_layers(const DecoderRows& rows, std::span<const DecoderBlock> blocks,
                      const DecoderPlace& place) override;
  // patchify.cu
  Tensor patchify(const Tensor& picture, const Tensor& normalized, const PatchOptions& options,
                  DType compute) override;
  // sample.cu
  void sample(const Tensor& logits, const SamplingTables& tables, const DecodeTables& next) override;

  // convolution.cu; its kernels for tensor cores are in convolution_*.cu
  Tensor convolve(const Tensor& x, const Weight& weight, const Window& window,
                  const ConvolutionOptions& options) override;
  Tensor convolve_depthwise(const Tensor& x, const Tensor& weight, const Tensor& bias, const Window& window,
                            const ConvolutionOptions& options) override;
  // maps.cu
  Tensor max_pool(const Tensor& x, const Window& window, const Tensor& out) override;
  Tensor enlarge(const Tensor& x, const EnlargeOptions& options) override;
  Tensor add(const Tensor& x, const Tensor& y) override;
  // detection.cu
  Tensor deformable_attention(const Tensor& values, std::int64_t pages,
                              const DeformableQueries& queries) override;
  Tensor top_rows(const Tensor& scores, std::int64_t pages, std::int64_t count) override;
  Tensor mask_boxes(const Tensor& queries, const Tensor& map) override;
  Tensor refine_boxes(const Tensor& boxes, const Tensor& deltas) override;

 private:
  // Memory of the result. Whoever recorded the step learns what it writes outside of the arena.
  Tensor output(const Tensor& out, const Shape& shape, DType dtype) {
    GLMOCR_CHECK(!out || (out.shape == shape && out.dtype == dtype));
    if (!out) return device_.scratch(shape, dtype);
    writes(out);
    return out;
  }
  void writes(const Tensor& tensor) {
    if (context_.recording && tensor) context_.written.push_back(range_of(tensor));
  }
  // Whether no kernel of the step that is being recorded writes these, so far: a step begins when all before it has ended.
  bool are_settled(std::initializer_list<Tensor> tensors) const {
    return context_.recording && std::none_of(tensors.begin(), tensors.end(), [&](const Tensor& tensor) {
             return std::any_of(context_.written.begin(), context_.written.end(),
                                [&](const Range& range) { return range.overlaps(range_of(tensor)); });
           });
  }
  // decoder_layers of one row: decoder_row_sm90.cu.
  bool layers_in_one_launch(const DecoderRows& rows, std::span<const DecoderBlock> blocks,
                            const DecoderPlace& place);
  // Where takes_next: rope_kv_write and attention_paged in one launch, for rows that are each the next token of a sequence.
  bool takes_next(const DecoderRows& rows, const DecoderBlock& block, const PagedBatch& batch,
                  const KvSpec& spec) const;
  Tensor attend_next(const Tensor& q, const Tensor& k, const Tensor& v, const DecoderPlace& place, int layer);
  // Throws Error{internal} where a kernel has found an index outside of its tensor. A recorded step cannot
  // wait for that: the error comes with the next result that is fetched.
  void check_indices(const char* operation);

  Device& device_;
  Context& context_;
};

}  // namespace glmocr::cuda
