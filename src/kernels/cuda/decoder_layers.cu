// SPDX-License-Identifier: Apache-2.0
#include "kernels/cuda/decoder_layers.cuh"

#include <algorithm>

#include "base/numbers.h"
#include "kernels/cuda/cuda_kv_store.h"
#include "kernels/cuda/cuda_ops.h"

namespace glmocr::cuda {
namespace {

using decoder::Layer;
using decoder::RowArguments;
using decoder::Split;

// `groups` of warps compute side by side; a feature has `rows` rows of `in` terms.
Split split_of(int out, int blocks, int groups, int rows, int in, int most_width) {
  const int columns = divide_up(out, blocks);
  const int width = std::min(most_width, decoder::kStageBytes / (groups * rows * decoder::row_bytes(in)));
  if (width == 0) return {};
  const int stages = divide_up(columns, groups * width);
  return {columns, stages, divide_up(columns, stages * groups)};
}

bool fits(const Weight& w, std::int64_t in, std::int64_t out) {
  return w.in_features == in && w.out_features == out && w.data.dtype == DType::bf16 && !w.bias &&
         w.layout == WeightLayout::rows && in % kStep == 0 && rows_are_aligned(w.data);
}

struct Widths {
  std::int64_t hidden, q, kv, inner;
};

bool fits(const DecoderBlock& b, const Widths& n) {
  for (const Tensor& norm : {b.attention_norm, b.mlp_input_norm, b.mlp_norm, b.next_norm}) {
    GLMOCR_CHECK(norm.numel() == n.hidden);
    if (!is_aligned(norm, 32)) return false;
  }
  return fits(*b.q, n.hidden, n.q) && fits(*b.k, n.hidden, n.kv) && fits(*b.v, n.hidden, n.kv) &&
         fits(*b.o, n.q, n.hidden) && fits(*b.gate, n.hidden, n.inner) && fits(*b.up, n.hidden, n.inner) &&
         fits(*b.down, n.inner, n.hidden);
}

// What the kernel is written for; then the row runs as the operations do that it replaces (linear_few.cu, norm.cu).
bool fits(const DecoderRows& rows, std::span<const DecoderBlock> blocks, const PagedBatch& batch,
          const KvSpec& spec, const Widths& n) {
  return rows.x.rows() == 1 && batch.context_lens.numel() == 1 && rows.x.dtype == DType::bf16 &&
         rows_are_aligned(rows.x) && rows_are_aligned(rows.h) && batch.rows == RowClass::few &&
         batch.max_rows == 1 && !blocks.empty() &&
         std::ssize(blocks) <= std::min(decoder::kMostLayers, spec.layers) &&
         n.hidden > decoder::Norm::kMostWidth / 2 && n.hidden <= decoder::Norm::kMostWidth &&
         spec.dtype == DType::bf16 && spec.head_dim == decoder::kDim && n.q == decoder::kHeads * n.kv &&
         n.q <= decoder::kShortTerms && n.inner > decoder::kShortTerms && n.inner <= decoder::kLongTerms &&
         std::all_of(blocks.begin(), blocks.end(), [&](const DecoderBlock& b) { return fits(b, n); });
}

Layer layer_of(const DecoderBlock& b, const CudaKvStore& store, int layer) {
  return {.q = data<const bf16_t>(b.q->data),
          .k = data<const bf16_t>(b.k->data),
          .v = data<const bf16_t>(b.v->data),
          .o = data<const bf16_t>(b.o->data),
          .gate = data<const bf16_t>(b.gate->data),
          .up = data<const bf16_t>(b.up->data),
          .down = data<const bf16_t>(b.down->data),
          .attention_norm = data<const float>(b.attention_norm),
          .mlp_input_norm = data<const float>(b.mlp_input_norm),
          .mlp_norm = data<const float>(b.mlp_norm),
          .next_norm = data<const float>(b.next_norm),
          .keys = data<bf16_t>(store.keys(layer)),
          .values = data<bf16_t>(store.values(layer))};
}

}  // namespace

bool CudaOps::decoder_layers(const DecoderRows& rows, std::span<const DecoderBlock> blocks,
                             const DecoderPlace& place) {
  if (blocks.empty()) return false;
  if (layers_in_one_launch(rows, blocks, place)) return true;
  if (!takes_next(rows, blocks[0], place.batch, place.store.spec())) return false;
  const AttendNext attend = [&](const Tensor& q, const Tensor& k, const Tensor& v, int layer) {
    return attend_next(q, k, v, place, layer);
  };
  for (int i = 0; i < static_cast<int>(std::ssize(blocks)); ++i) {
    const ArenaScope scope(device_);
    decoder_layer_one_by_one(*this, rows, blocks[i], place, i, attend);
  }
  return true;
}

bool CudaOps::layers_in_one_launch(const DecoderRows& rows, std::span<const DecoderBlock> blocks,
                                   const DecoderPlace& place) {
  const CudaKvStore& store = CudaKvStore::of(place.store, device_);
  const KvSpec& spec = store.spec();
  if (!context_.layers_at_once || decoder::shared_bytes() > context_.shared_memory) return false;
  const Widths n{rows.x.columns(), blocks[0].q->out_features, std::int64_t{spec.kv_heads} * spec.head_dim,
                 blocks[0].gate->out_features};
  if (!fits(rows, blocks, place.batch, spec, n)) return false;
  // Every block has features of the hidden row: Places.
  const int hidden = static_cast<int>(n.hidden), most = std::max(context_.processors / 32 * 32, 1),
            grid = divide_up(hidden, divide_up(hidden, most));
  RowArguments a{};
  a.layer_count = static_cast<int>(blocks.size());
  for (int i = 0; i < a.layer_count; ++i) a.layers[i] = layer_of(blocks[i], store, i);
  a.hidden = hidden;
  a.q_out = static_cast<int>(n.q);
  a.kv_out = static_cast<int>(n.kv);
  a.inner = static_cast<int>(n.inner);
  a.qkv = split_of(a.q_out + 2 * a.kv_out, grid, 2, 1, a.hidden, 16);
  a.o = split_of(a.hidden, grid, 2, 1, a.q_out, 16);
  a.gated = split_of(a.inner, grid, 2, 2, a.hidden, 8);
  a.down = split_of(a.hidden, grid, 1, 1, a.inner, 16);
  for (const Split& split : {a.qkv, a.o, a.gated, a.down}) {
    if (split.width == 0) return false;
  }

  GLMOCR_CHECK(rows.h.shape == rows.x.shape && place.slots.numel() >= 1);
  GLMOCR_CHECK(place.table.size(1) >= 1 && place.table.size(2) == decoder::kDim / 2);
  GLMOCR_CHECK(place.table.strides[1] == decoder::kDim / 2 && place.table.strides[2] == 1);
  writes(rows.x);
  writes(rows.h);
  for (int i = 0; i < a.layer_count; ++i) {
    writes(store.keys(i));
    writes(store.values(i));
  }
  const ArenaScope scope(device_);
  a.x = data<bf16_t>(rows.x);
  a.h = data<bf16_t>(rows.h);
  a.places = reinterpret_cast<decoder::Places*>(context_.counters + kPlaces);
  a.table = data<const float>(place.table);
  a.sines_at = place.table.strides[0];
  a.paged = pages_of_batch<bf16_t>(place.batch, spec);
  a.paged.scale = place.scale;
  a.slots = data<const std::int32_t>(place.slots);
  a.slot_count = spec.pages * spec.page_size;
  a.parts = std::max(1, part_count(place.batch.max_context));
  a.partial = data<float>(device_.scratch(
      {std::int64_t{decoder::kHeads} * spec.kv_heads * a.parts * decoder::kRecord}, DType::f32));
  a.counters = reinterpret_cast<std::uint32_t*>(context_.counters);
  a.paged.step_fault = context_.step_fault;
  a.eps = place.eps;
  decoder::run_row(context_, a, static_cast<unsigned>(grid));
  return true;
}

}  // namespace glmocr::cuda
