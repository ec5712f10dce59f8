// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <array>
#include <functional>
#include <span>

#include "kernels/cpu/isa.h"
#include "kernels/cpu/onednn.h"
#include "kernels/cpu/thread_scratch.h"
#include "kernels/host/host_device.h"

namespace glmocr::cpu {

// The operations over one instruction set's kernels, parallel over the device's pool. Meanings: tensor/ops.h.
class CpuOps final : public Ops {
 public:
  CpuOps(HostDevice& device, const Isa& isa) : device_(device), isa_(isa), kernels_(isa.table()) {}

  // embed.cc
  Tensor embed(const Weight& table, const Tensor& ids, DType compute) override;
  Tensor gather_rows(const Tensor& x, const Tensor& indices) override;
  void scatter_rows(const Tensor& rows, const Tensor& indices, const Tensor& out) override;
  void kv_write(const Tensor& k, const Tensor& v, KvStore& store, int layer, const Tensor& slots) override;
  // linear.cc
  Tensor linear(const Tensor& x, const Weight& weight, const LinearOptions& options) override;
  Tensor gated_linear(const Tensor& x, const Weight& gate, const Weight& up, RowClass rows) override;
  Tensor gated_mlp(const Tensor& x, const GatedWeights& weights, const LinearOptions& options) override;
  std::array<Tensor, 3> linear_three(const Tensor& x, const std::array<const Weight*, 3>& weights,
                                     RowClass rows, const std::array<Tensor, 3>& out) override;
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
  Tensor norm_rope(const Tensor& x, const Tensor& weight, float eps, const Tensor& table, RopeStyle style,
                   const Tensor& out) override;
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
  struct Product;      // one linear: its operands, checked
  struct Convolution;  // one convolve
  struct PairConvolution;
  void few_rows(const Product& product);
  void few_rows_in_panels(const Product& product);
  ConstRows widened(const Product& product);
  void dense(const Product& product);
  void few_rows_in_bytes(const Product& product);
  void dense_in_bytes(const Product& product);
  const void* panel_of_bytes(const Product& p, std::int64_t column, std::byte* memory) const;
  void dense_onednn(const Product& product);
  void convolve_panels(const Tensor& x, const Weight& weight, const Window& window,
                       const ConvolutionOptions& options, const Tensor& y);
  void convolve_pairs(const Tensor& x, const Weight& weight, const Window& window,
                      const ConvolutionOptions& options, const Tensor& y);
  void attention_in_tiles(const Tensor& q, const Tensor& k, const Tensor& v, const AttentionOptions& options,
                          const Tensor& y);
  void paged_in_tiles(const Tensor& q, const HostKvStore& store, int layer, const PagedBatch& batch,
                      float scale, const Tensor& y);
  // Products of the same rows with weights prepared for tiles.
  void multiply_prepared(std::span<const Product> products);
  void few_rows_in_tiles(std::span<const Product> products);
  void dense_in_tiles(std::span<const Product> products);
  std::int64_t slice_rows(std::int64_t rows, std::int64_t depth) const;
  const std::byte* pack_slice(const Product& product, std::int64_t first, std::int64_t count);
  void multiply_slice(std::span<const Product> products, std::int64_t first, std::int64_t count,
                      const std::byte* packed);
  void dense_pairs(const Product& product);
  struct Slice;
  void multiply_packed(const Product& product, const Slice& slice, const std::byte* groups,
                       const std::byte* panels);

  Tensor output(const Tensor& out, const Shape& shape, DType dtype) {
    GLMOCR_CHECK(!out || (out.shape == shape && out.dtype == dtype));
    return out ? out : device_.scratch(shape, dtype);
  }

  // Calls body(begin, end) for ranges of [0, count) on the pool. An item moves item_bytes; ranges have at
  // most kGrainBytes. std::ref, because std::function would copy the closure to the heap.
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
  Bf16Products bf16_products_;
  AlignedBlock packed_{true};     // slices of the operands of a product
  AlignedBlock activated_{true};  // slices of what stands between the products of gated_mlp
};

// Into panels of bytes (kernel_table.h): values [out, in] i8. On the pool.
void pack_bytes(const Isa& isa, ThreadPool& pool, const Tensor& values, const Tensor& panels);  // linear.cc
std::int64_t packed_bytes(const Isa& isa, std::int64_t out, std::int64_t in);

// Into panels [out / width rounded up, in, width] f32 from a matrix [out, in]; columns beyond `out` are zeros.
void pack_panels(const Tensor& matrix, const Tensor& panels);  // convolution.cc
// The same in bf16, as KernelTable::pack_columns makes them: [out / pair_columns rounded up, in rounded up to pair_depth,
// pair_columns].
void pack_pairs(const KernelTable& kernels, const Tensor& matrix,
                const Tensor& panels);  // convolution_pairs.cc

}  // namespace glmocr::cpu
