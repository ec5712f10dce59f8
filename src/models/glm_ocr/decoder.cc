// SPDX-License-Identifier: Apache-2.0
#include "models/glm_ocr/decoder.h"

#include <cmath>

#include "models/glm_ocr/rotary.h"

namespace glmocr {

Tensor Decoder::embed(const Tensor& ids) const {
  return device_.ops().embed(weights_.embed_tokens, ids, compute_);
}

Tensor Decoder::forward(const DecoderInput& input, const Observer& observer) const {
  const Tensor& x = input.hidden;  // the residual stream
  GLMOCR_CHECK(input.cache.size() == weights_.layers.size());
  observe(observer, "decoder.embed", x);
  const Tensor table = rotary(input.positions);
  for (std::size_t i = 0; i < weights_.layers.size(); ++i) {
    layer(weights_.layers[i], x, table, input, input.cache[i]);
    observe(observer, cat("decoder.layers.", i), x);
  }
  const Tensor normed = device_.ops().rms_norm(x, weights_.norm, {.eps = config_.rms_norm_eps});
  observe(observer, "decoder.norm", normed);
  return normed;
}

Tensor Decoder::logits(const Tensor& hidden) const {
  return device_.ops().linear(hidden, weights_.lm_head.weight);
}

// M-RoPE: contiguous sections of the pairs turn with the temporal, the height and the width position.
Tensor Decoder::rotary(const Tensor& positions) const {
  const std::int64_t pairs = config_.head_dim / 2;
  const std::vector<float> frequencies =
      inverse_frequencies(config_.rope_theta, config_.head_dim, static_cast<int>(pairs));
  std::vector<std::int32_t> axis;
  for (std::size_t a = 0; a < config_.mrope_section.size(); ++a) {
    axis.insert(axis.end(), static_cast<std::size_t>(config_.mrope_section[a]), static_cast<std::int32_t>(a));
  }
  return device_.ops().rotary_table(positions, device_.upload_array(frequencies.data(), {pairs}),
                                    device_.upload_array(axis.data(), {pairs}), compute_);
}

// x = x + norm(attention(norm(x))); x = x + norm(mlp(norm(x))), in place. Four norms a layer.
void Decoder::layer(const DecoderLayerWeights& w, const Tensor& x, const Tensor& table,
                    const DecoderInput& input, const PagedKv& cache) const {
  Ops& ops = device_.ops();
  const ArenaScope scope(device_);
  const std::int64_t n = x.size(0), head_dim = config_.head_dim;
  const NormOptions norm{.eps = config_.rms_norm_eps};
  const NormOptions norm_and_add{.eps = config_.rms_norm_eps, .residual = x, .out = x};

  const Tensor h = ops.rms_norm(x, w.input_layernorm, norm);
  const Tensor q = ops.linear(h, w.q_proj.weight).reshape({n, config_.num_attention_heads, head_dim});
  const Tensor k = ops.linear(h, w.k_proj.weight).reshape({n, config_.num_key_value_heads, head_dim});
  const Tensor v = ops.linear(h, w.v_proj.weight).reshape({n, config_.num_key_value_heads, head_dim});
  ops.kv_write(ops.rope(k, table, RopeStyle::interleaved), v, cache, input.slots);
  const float scale = 1 / std::sqrt(static_cast<float>(head_dim));
  const Tensor a = ops.attention_paged(ops.rope(q, table, RopeStyle::interleaved), cache, input.batch, scale);
  ops.rms_norm(ops.linear(a, w.o_proj.weight), w.post_self_attn_layernorm, norm_and_add);

  const Tensor m = ops.rms_norm(x, w.post_attention_layernorm, norm);
  const Tensor gate_up = ops.linear(m, w.gate_up_proj.weight);
  const std::int64_t width = config_.intermediate_size;
  const Tensor activated = ops.swiglu(gate_up.slice(1, 0, width), gate_up.slice(1, width, 2 * width));
  ops.rms_norm(ops.linear(activated, w.down_proj.weight), w.post_mlp_layernorm, norm_and_add);
}

std::int64_t Decoder::workspace_bytes(std::int64_t rows, std::int64_t logit_rows) const {
  const std::int64_t hidden = config_.hidden_size, head = config_.head_dim;
  const std::int64_t q = head * config_.num_attention_heads, kv = head * config_.num_key_value_heads;
  const std::int64_t per_row = 6 * hidden + 3 * q + 3 * kv + 3 * std::int64_t{config_.intermediate_size};
  const std::int64_t values = rows * per_row + logit_rows * (config_.vocab_size + hidden);
  return values * size_of(compute_) + rows * head * 4;
}

}  // namespace glmocr
