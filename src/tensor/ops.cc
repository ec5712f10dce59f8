// SPDX-License-Identifier: Apache-2.0
#include "tensor/ops.h"

#include "base/error.h"

namespace glmocr {
namespace {

[[noreturn]] void unsupported(std::string_view operation) {
  fail(ErrorCode::device,
       cat("this device cannot run layout models (it lacks ", operation, "): use \"cpu\""));
}

}  // namespace

Tensor Ops::convolve(const Tensor&, const Weight&, const Window&, const ConvolutionOptions&) {
  unsupported("convolutions");
}
Tensor Ops::convolve_depthwise(const Tensor&, const Tensor&, const Tensor&, const Window&,
                               const ConvolutionOptions&) {
  unsupported("convolutions of single channels");
}
Tensor Ops::max_pool(const Tensor&, const Window&, const Tensor&) { unsupported("pooling"); }
Tensor Ops::enlarge(const Tensor&, const EnlargeOptions&) { unsupported("enlargement"); }
Tensor Ops::add(const Tensor&, const Tensor&) { unsupported("addition"); }
Tensor Ops::deformable_attention(const Tensor&, std::int64_t, const DeformableQueries&) {
  unsupported("deformable attention");
}
Tensor Ops::top_rows(const Tensor&, std::int64_t, std::int64_t) { unsupported("the choice of rows"); }
Tensor Ops::mask_boxes(const Tensor&, const Tensor&) { unsupported("boxes of masks"); }
Tensor Ops::refine_boxes(const Tensor&, const Tensor&) { unsupported("the refinement of boxes"); }

void decoder_layer_one_by_one(Ops& ops, const DecoderRows& rows, const DecoderBlock& b,
                              const DecoderPlace& place, int layer, const AttendNext& attend) {
  const LinearOptions options{.activation = {}, .residual = {}, .out = {}, .rows = RowClass::few};
  const KvSpec& spec = place.store.spec();
  const std::int64_t n = rows.x.rows();
  const auto heads = [&](const Weight& weight) {
    return ops.linear(rows.h, weight, options)
        .reshape({n, weight.out_features / spec.head_dim, spec.head_dim});
  };
  const Tensor q = heads(*b.q), k = heads(*b.k), v = heads(*b.v), attended = attend(q, k, v, layer);
  ops.add_norm(rows.x, ops.linear(attended, *b.o, options), b.attention_norm, b.mlp_input_norm, place.eps,
               rows.h);
  const Tensor activated = ops.gated_linear(rows.h, *b.gate, *b.up, RowClass::few);
  ops.add_norm(rows.x, ops.linear(activated, *b.down, options), b.mlp_norm, b.next_norm, place.eps, rows.h);
}

void decoder_layers_one_by_one(Ops& ops, const DecoderRows& rows, std::span<const DecoderBlock> blocks,
                               const DecoderPlace& place) {
  const AttendNext attend = [&](const Tensor& q, const Tensor& k, const Tensor& v, int layer) {
    const Tensor turned =
        ops.rope_kv_write(q, k, v, place.table, RopeStyle::interleaved, {place.store, layer, place.slots});
    return ops.attention_paged(turned, place.store, layer, place.batch, place.scale);
  };
  for (int i = 0; i < static_cast<int>(std::ssize(blocks)); ++i) {
    decoder_layer_one_by_one(ops, rows, blocks[i], place, i, attend);
  }
}

}  // namespace glmocr
