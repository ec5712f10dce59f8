// SPDX-License-Identifier: Apache-2.0
#include "models/glm_ocr/decoder_layer.h"

#include <algorithm>
#include <cmath>

#include "models/arena_size.h"

namespace glmocr {
namespace {

// x = x + norm(attention(norm(x)))
void attention(Device& device, const TextConfig& c, const DecoderLayerWeights& w, const Tensor& x,
               const Tensor& table, const DecoderInput& input, int layer) {
  Ops& ops = device.ops();
  const ArenaScope scope(device);
  const std::int64_t n = x.size(0), head_dim = c.head_dim;
  const LinearOptions rows{.rows = input.batch.rows};

  const Tensor h = ops.rms_norm(x, w.input_layernorm, {.eps = c.rms_norm_eps});
  const Tensor q = ops.linear(h, w.q_proj, rows).reshape({n, c.num_attention_heads, head_dim});
  const Tensor k = ops.linear(h, w.k_proj, rows).reshape({n, c.num_key_value_heads, head_dim});
  const Tensor v = ops.linear(h, w.v_proj, rows).reshape({n, c.num_key_value_heads, head_dim});
  ops.kv_write(ops.rope(k, table, RopeStyle::interleaved), v, *input.cache, layer, input.slots);
  const Tensor turned = ops.rope(q, table, RopeStyle::interleaved);
  const float scale = 1 / std::sqrt(static_cast<float>(head_dim));
  const Tensor a = ops.attention_paged(turned, *input.cache, layer, input.batch, scale);
  ops.rms_norm(ops.linear(a, w.o_proj, rows), w.post_self_attn_layernorm,
               {.eps = c.rms_norm_eps, .residual = x, .out = x});
}

// x = x + norm(mlp(norm(x)))
void mlp(Device& device, const TextConfig& c, const DecoderLayerWeights& w, const Tensor& x,
         RowClass row_class) {
  Ops& ops = device.ops();
  const ArenaScope scope(device);
  const std::int64_t width = c.intermediate_size;
  const LinearOptions rows{.rows = row_class};

  const Tensor h = ops.rms_norm(x, w.post_attention_layernorm, {.eps = c.rms_norm_eps});
  const Tensor gate_up = ops.linear(h, w.gate_up_proj, rows);
  const Tensor activated = ops.swiglu(gate_up.slice(1, 0, width), gate_up.slice(1, width, 2 * width));
  ops.rms_norm(ops.linear(activated, w.down_proj, rows), w.post_mlp_layernorm,
               {.eps = c.rms_norm_eps, .residual = x, .out = x});
}

}  // namespace

void decoder_layer(Device& device, const TextConfig& config, const DecoderLayerWeights& weights,
                   const Tensor& x, const Tensor& rotary_table, const DecoderInput& input, int layer) {
  attention(device, config, weights, x, rotary_table, input, layer);
  mlp(device, config, weights, x, input.batch.rows);
}

std::int64_t decoder_layer_bytes(const TextConfig& c, std::int64_t rows, DType compute) {
  const auto tensor = [&](std::int64_t width) { return arena_bytes(rows * width, compute); };
  const std::int64_t hidden = tensor(c.hidden_size);
  const std::int64_t q = tensor(std::int64_t{c.num_attention_heads} * c.head_dim);
  const std::int64_t kv = tensor(std::int64_t{c.num_key_value_heads} * c.head_dim);
  // norm and o_proj; q, turned, attention; k, turned, v
  const std::int64_t attention = 2 * hidden + 3 * q + 3 * kv;
  // norm and down_proj; gate_up, activated
  const std::int64_t mlp =
      2 * hidden + tensor(2 * std::int64_t{c.intermediate_size}) + tensor(c.intermediate_size);
  return std::max(attention, mlp) + kOperationScratch;
}

}  // namespace glmocr
