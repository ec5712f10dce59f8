// SPDX-License-Identifier: Apache-2.0
#include "models/glm_ocr/decoder.h"

#include <algorithm>
#include <cmath>

#include "models/arena_size.h"

namespace glmocr {
namespace {

// M-RoPE: consecutive sections of the pairs are rotated by the temporal, the height and the width position.
RotaryConstants make_rotary(const TextConfig& c, Device& device) {
  std::vector<std::int32_t> axis;
  for (int a = 0; a < 3; ++a) axis.insert(axis.end(), c.mrope_section[a], a);
  return {device, inverse_frequencies(c.rope_theta, c.head_dim, c.head_dim / 2), axis};
}

std::vector<DecoderBlock> make_blocks(const DecoderWeights& weights) {
  std::vector<DecoderBlock> blocks;
  for (std::size_t i = 0; i < weights.layers.size(); ++i) {
    const DecoderLayerWeights& w = weights.layers[i];
    const bool last = i + 1 == weights.layers.size();
    blocks.push_back({.q = &w.q_proj,
                      .k = &w.k_proj,
                      .v = &w.v_proj,
                      .o = &w.o_proj,
                      .gate = &w.gate_proj,
                      .up = &w.up_proj,
                      .down = &w.down_proj,
                      .attention_norm = w.post_self_attn_layernorm,
                      .mlp_input_norm = w.post_attention_layernorm,
                      .mlp_norm = w.post_mlp_layernorm,
                      .next_norm = last ? weights.norm : weights.layers[i + 1].input_layernorm});
  }
  return blocks;
}

}  // namespace

Decoder::Decoder(const GlmOcrConfig& config, const DecoderWeights& weights, Device& device, DType compute)
    : config_(config.text),
      weights_(weights),
      device_(device),
      compute_(compute),
      rotary_(make_rotary(config_, device)),
      blocks_(make_blocks(weights)) {}

Tensor Decoder::embed(const Tensor& ids) const {
  return device_.ops().embed(weights_.embed_tokens, ids, compute_);
}

Tensor Decoder::forward(const DecoderInput& input, const Observer& observer) const {
  const Tensor& x = input.hidden;  // the residual stream
  GLMOCR_CHECK(input.cache && input.cache->spec().layers == std::ssize(weights_.layers));
  observe(observer, "decoder.embed", x);
  const Tensor table = rotary_.table(device_.ops(), input.positions, compute_);
  const int layers = static_cast<int>(std::ssize(weights_.layers));
  const Tensor h =
      device_.ops().rms_norm(x, weights_.layers[0].input_layernorm, {.eps = config_.rms_norm_eps});
  const float scale = 1 / std::sqrt(static_cast<float>(config_.head_dim));
  const DecoderPlace place{*input.cache, input.slots, table, input.batch, config_.rms_norm_eps, scale};
  if (!observer && device_.ops().decoder_layers({x, h}, blocks_, place)) return h;
  for (int i = 0; i < layers; ++i) {
    const Tensor& next = i + 1 < layers ? weights_.layers[i + 1].input_layernorm : weights_.norm;
    decoder_layer(device_, config_, weights_.layers[i], {x, h}, next, table, input, i);
    observe(observer, "decoder.layers.", i, x);
  }
  observe(observer, "decoder.norm", h);
  return h;
}

Tensor Decoder::logits(const Tensor& hidden) const {
  return device_.ops().linear(hidden, weights_.lm_head, {.rows = RowClass::few});
}

KvSpec Decoder::kv_spec(std::int64_t pages, int page_size) const {
  return {.layers = config_.num_hidden_layers,
          .kv_heads = config_.num_key_value_heads,
          .head_dim = config_.head_dim,
          .pages = pages,
          .page_size = page_size,
          .dtype = compute_};
}

std::int64_t Decoder::workspace_bytes(std::int64_t rows, std::int64_t logit_rows) const {
  const std::int64_t hidden = arena_bytes(rows * config_.hidden_size, compute_);
  const std::int64_t table = arena_bytes(rows * config_.head_dim, DType::f32);
  const std::int64_t logits = arena_bytes(logit_rows * config_.hidden_size, compute_) +
                              arena_bytes(logit_rows * config_.vocab_size, compute_) + kOperationScratch;
  return 2 * hidden + table + std::max(decoder_layer_bytes(config_, rows, compute_), logits);
}

}  // namespace glmocr
