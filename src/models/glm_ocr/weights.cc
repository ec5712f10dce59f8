// SPDX-License-Identifier: Apache-2.0
#include "models/glm_ocr/weights.h"

#include <utility>

#include "models/glm_ocr/tensor_names.h"

namespace glmocr {
namespace {

VisionBlockWeights load_block(WeightLoader& load, const std::string& prefix, const VisionConfig& c) {
  VisionBlockWeights w;
  w.norm1 = load.vector(prefix + "norm1.weight", c.hidden_size);
  w.norm2 = load.vector(prefix + "norm2.weight", c.hidden_size);
  const std::vector<Weight> qkv =
      load.linear_parts(prefix + "attn.qkv", 3, c.hidden_size, c.hidden_size, true);
  w.q = qkv[0];
  w.k = qkv[1];
  w.v = qkv[2];
  w.q_norm = load.vector(prefix + "attn.q_norm.weight", c.head_dim());
  w.k_norm = load.vector(prefix + "attn.k_norm.weight", c.head_dim());
  w.proj = load.linear(prefix + "attn.proj", c.hidden_size, c.hidden_size, true);
  w.gate = load.linear(prefix + "mlp.gate_proj", c.intermediate_size, c.hidden_size, true);
  w.up = load.linear(prefix + "mlp.up_proj", c.intermediate_size, c.hidden_size, true);
  w.down = load.linear(prefix + "mlp.down_proj", c.hidden_size, c.intermediate_size, true);
  return w;
}

VisionWeights load_vision(WeightLoader& load, const VisionConfig& c) {
  const std::string prefix = "model.visual.";
  const std::int64_t out = c.out_hidden_size;
  const std::int64_t merger = out * c.in_channels;  // in_channels: as in transformers
  VisionWeights w;
  w.patch_embed =
      load.convolution(prefix + "patch_embed.proj",
                       {c.hidden_size, c.in_channels, c.temporal_patch_size, c.patch_size, c.patch_size},
                       WeightLoader::Columns::channel_first);
  for (int i = 0; i < c.depth; ++i) w.blocks.push_back(load_block(load, cat(prefix, "blocks.", i, "."), c));
  w.post_layernorm = load.vector(prefix + "post_layernorm.weight", c.hidden_size);
  w.downsample = load.convolution(prefix + "downsample",
                                  {out, c.hidden_size, c.spatial_merge_size, c.spatial_merge_size},
                                  WeightLoader::Columns::channel_last);
  w.merger_proj = load.linear(prefix + "merger.proj", out, out, false);
  w.merger_norm = load.vector(prefix + "merger.post_projection_norm.weight", out);
  w.merger_norm_bias = load.vector(prefix + "merger.post_projection_norm.bias", out);
  w.merger_gate = load.linear(prefix + "merger.gate_proj", merger, out, false);
  w.merger_up = load.linear(prefix + "merger.up_proj", merger, out, false);
  w.merger_down = load.linear(prefix + "merger.down_proj", out, merger, false);
  return w;
}

DecoderLayerWeights load_layer(WeightLoader& load, const std::string& prefix, const TextConfig& c) {
  const std::int64_t hidden = c.hidden_size, head = c.head_dim;
  DecoderLayerWeights w;
  w.input_layernorm = load.vector(prefix + "input_layernorm.weight", hidden);
  w.post_self_attn_layernorm = load.vector(prefix + "post_self_attn_layernorm.weight", hidden);
  w.post_attention_layernorm = load.vector(prefix + "post_attention_layernorm.weight", hidden);
  w.post_mlp_layernorm = load.vector(prefix + "post_mlp_layernorm.weight", hidden);
  w.q_proj = load.linear(prefix + "self_attn.q_proj", head * c.num_attention_heads, hidden, false);
  w.k_proj = load.linear(prefix + "self_attn.k_proj", head * c.num_key_value_heads, hidden, false);
  w.v_proj = load.linear(prefix + "self_attn.v_proj", head * c.num_key_value_heads, hidden, false);
  w.o_proj = load.linear(prefix + "self_attn.o_proj", hidden, head * c.num_attention_heads, false);
  const std::vector<Weight> halves =
      load.linear_parts(prefix + "mlp.gate_up_proj", 2, c.intermediate_size, hidden, false);
  w.gate_proj = halves[0];
  w.up_proj = halves[1];
  w.down_proj = load.linear(prefix + "mlp.down_proj", hidden, c.intermediate_size, false);
  return w;
}

// Names and shapes of the multi-token-prediction layer: a decoder layer, the projection of its inputs and a
// head of its own.
std::vector<std::pair<std::string, Shape>> mtp_tensors(const TextConfig& c) {
  const std::int64_t hidden = c.hidden_size, head = c.head_dim, vocab = c.vocab_size;
  const std::int64_t q = head * c.num_attention_heads, kv = head * c.num_key_value_heads;
  return {{"embed_tokens.weight", {vocab, hidden}},
          {"enorm.weight", {hidden}},
          {"hnorm.weight", {hidden}},
          {"eh_proj.weight", {hidden, 2 * hidden}},
          {"shared_head.norm.weight", {hidden}},
          {"shared_head.head.weight", {vocab, hidden}},
          {"input_layernorm.weight", {hidden}},
          {"post_self_attn_layernorm.weight", {hidden}},
          {"post_attention_layernorm.weight", {hidden}},
          {"post_mlp_layernorm.weight", {hidden}},
          {"self_attn.q_proj.weight", {q, hidden}},
          {"self_attn.k_proj.weight", {kv, hidden}},
          {"self_attn.v_proj.weight", {kv, hidden}},
          {"self_attn.o_proj.weight", {hidden, q}},
          {"mlp.gate_up_proj.weight", {2 * std::int64_t{c.intermediate_size}, hidden}},
          {"mlp.down_proj.weight", {hidden, c.intermediate_size}}};
}

// Checks the multi-token-prediction layer, where there is one. True if it is complete.
bool set_mtp_aside(WeightLoader& load, const TextConfig& c) {
  const std::string prefix = mtp_prefix(c.num_hidden_layers);
  if (!load.contains(prefix + "eh_proj.weight")) return false;
  load.begin_group("mtp");
  std::vector<std::string> missing;
  for (const auto& [name, shape] : mtp_tensors(c)) {
    if (!load.set_aside(prefix + name, shape)) missing.push_back(name);
  }
  load.note(cat("multi-token-prediction layer ", prefix, "* found, ",
                missing.empty() ? "not used yet" : "but incomplete: it lacks " + join(missing, ", ")));
  return missing.empty();
}

void refuse_quantised(const SafetensorsFiles& files) {
  for (const auto& [name, stored] : files.tensors()) {
    if (name.ends_with(".scales") || name.ends_with(".biases") || stored.dtype_name == "U32") {
      fail(ErrorCode::model,
           cat(stored.file, ": tensor ", name, " (", stored.dtype_name,
               ") belongs to a quantised MLX snapshot, which is not supported: use one with "
               "BF16, F16 or F32 weights"));
    }
  }
}

Weights load_all(WeightLoader& load, const GlmOcrConfig& config) {
  const TextConfig& text = config.text;
  Weights weights;
  load.begin_group("vision");
  weights.vision = load_vision(load, config.vision);
  load.begin_group("decoder");
  weights.decoder.embed_tokens = load.matrix("model.language_model.embed_tokens.weight", text.vocab_size,
                                             text.hidden_size, WeightUse::embedding);
  for (int i = 0; i < text.num_hidden_layers; ++i) {
    weights.decoder.layers.push_back(load_layer(load, cat("model.language_model.layers.", i, "."), text));
  }
  weights.decoder.norm = load.vector("model.language_model.norm.weight", text.hidden_size);
  load.begin_group("lm_head");
  weights.decoder.lm_head = load.linear("lm_head", text.vocab_size, text.hidden_size, false);
  weights.has_mtp = set_mtp_aside(load, text);
  LoadedTensors& loaded = weights;
  loaded = load.finish();
  return weights;
}

}  // namespace

Weights load_weights(SafetensorsFiles files, const GlmOcrConfig& config, Device& device, DType compute,
                     Quantization quantization) {
  refuse_quantised(files);
  WeightLoader load(std::move(files), device, compute, mlx_name);
  if (quantization == Quantization::int8) load.quantize_linear();
  return load_all(load, config);
}

Weights make_weights(WeightLoader::Maker maker, const GlmOcrConfig& config, Device& device, DType compute,
                     Quantization quantization) {
  WeightLoader load(std::move(maker), device, compute);
  if (quantization == Quantization::int8) load.quantize_linear();
  return load_all(load, config);
}

}  // namespace glmocr
