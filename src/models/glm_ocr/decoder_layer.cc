// SPDX-License-Identifier: Apache-2.0
#include "models/glm_ocr/decoder_layer.h"

#include <algorithm>
#include <cmath>

#include "models/arena_size.h"

namespace glmocr {
namespace {

// x = x + norm(attention(h)), then h = norm(x) for the MLP
void attention(Device& device, const TextConfig& c, const DecoderLayerWeights& w, const LayerRows& rows,
               const Tensor& table, const DecoderInput& input, int layer) {
  Ops& ops = device.ops();
  const ArenaScope scope(device);
  const std::int64_t n = rows.x.size(0), head_dim = c.head_dim;
  const LinearOptions options{.rows = input.batch.rows};

  const auto projected = ops.linear_three(rows.h, {&w.q_proj, &w.k_proj, &w.v_proj}, options.rows);
  const Tensor q = projected[0].reshape({n, c.num_attention_heads, head_dim});
  const Tensor k = projected[1].reshape({n, c.num_key_value_heads, head_dim});
  const Tensor v = projected[2].reshape({n, c.num_key_value_heads, head_dim});
  const Tensor turned =
      ops.rope_kv_write(q, k, v, table, RopeStyle::interleaved, {*input.cache, layer, input.slots});
  const float scale = 1 / std::sqrt(static_cast<float>(head_dim));
  const Tensor a = ops.attention_paged(turned, *input.cache, layer, input.batch, scale);
  ops.add_norm(rows.x, ops.linear(a, w.o_proj, options), w.post_self_attn_layernorm,
               w.post_attention_layernorm, c.rms_norm_eps, rows.h);
}

// x = x + norm(mlp(h)), then h = norm(x) for what follows
void mlp(Device& device, const TextConfig& c, const DecoderLayerWeights& w, const LayerRows& rows,
         const Tensor& next_norm, RowClass row_class) {
  Ops& ops = device.ops();
  const ArenaScope scope(device);
  const Tensor y = ops.gated_mlp(rows.h, {w.gate_proj, w.up_proj, w.down_proj}, {.rows = row_class});
  ops.add_norm(rows.x, y, w.post_mlp_layernorm, next_norm, c.rms_norm_eps, rows.h);
}

}  // namespace

void decoder_layer(Device& device, const TextConfig& config, const DecoderLayerWeights& weights,
                   const LayerRows& rows, const Tensor& next_norm, const Tensor& rotary_table,
                   const DecoderInput& input, int layer) {
  attention(device, config, weights, rows, rotary_table, input, layer);
  mlp(device, config, weights, rows, next_norm, input.batch.rows);
}

std::int64_t decoder_layer_bytes(const TextConfig& c, std::int64_t rows, DType compute) {
  const auto tensor = [&](std::int64_t width) { return arena_bytes(rows * width, compute); };
  const std::int64_t hidden = tensor(c.hidden_size);
  const std::int64_t q = tensor(std::int64_t{c.num_attention_heads} * c.head_dim);
  const std::int64_t kv = tensor(std::int64_t{c.num_key_value_heads} * c.head_dim);
  // o_proj; q, turned, attention; k, turned, v
  const std::int64_t attention = hidden + 3 * q + 3 * kv;
  // down_proj; gate, up, activated
  const std::int64_t mlp = hidden + 3 * tensor(c.intermediate_size);
  return std::max(attention, mlp) + kOperationScratch;
}

}  // namespace glmocr
