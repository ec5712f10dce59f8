// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <vector>

#include "glmocr/types.h"
#include "models/glm_ocr/config.h"
#include "models/weight_loader.h"

namespace glmocr {

struct VisionBlockWeights {
  Tensor norm1, norm2;    // [hidden]
  Weight q, k, v;         // [hidden, hidden], head after head: the parts of a stored attn.qkv
  Tensor q_norm, k_norm;  // [head_dim]
  Weight proj;            // [hidden, hidden]
  Weight gate, up, down;  // [intermediate, hidden] twice, [hidden, intermediate]
};

struct VisionWeights {
  Weight patch_embed;                      // [hidden, 3 · temporal · patch · patch]
  std::vector<VisionBlockWeights> blocks;  // depth
  Tensor post_layernorm;                   // [hidden]
  Weight downsample;  // [out_hidden, merge · merge · hidden], input index (dy · 2 + dx) · hidden + channel
  Weight merger_proj;                    // [out_hidden, out_hidden], no bias
  Tensor merger_norm, merger_norm_bias;  // [out_hidden]
  Weight merger_gate, merger_up;         // [3 · out_hidden, out_hidden], no bias
  Weight merger_down;                    // [out_hidden, 3 · out_hidden], no bias
};

// No bias anywhere.
struct DecoderLayerWeights {
  Tensor input_layernorm, post_self_attn_layernorm;  // [hidden]
  Tensor post_attention_layernorm;                   // [hidden]: precedes the MLP, despite its name
  Tensor post_mlp_layernorm;                         // [hidden]
  Weight q_proj;                                     // [heads · head_dim, hidden]
  Weight k_proj, v_proj;                             // [kv_heads · head_dim, hidden]
  Weight o_proj;                                     // [hidden, heads · head_dim]
  Weight gate_proj, up_proj;  // [intermediate, hidden]: the halves of a stored gate_up_proj
  Weight down_proj;           // [hidden, intermediate]
};

struct DecoderWeights {
  Weight embed_tokens;                      // [vocab, hidden], prepared for Ops::embed
  std::vector<DecoderLayerWeights> layers;  // num_hidden_layers
  Tensor norm;                              // [hidden]
  Weight lm_head;                           // [vocab, hidden]
};

// All weights on the device, with the files and buffers that own their memory.
struct Weights : LoadedTensors {
  VisionWeights vision;
  DecoderWeights decoder;
  // The snapshot holds a complete multi-token-prediction (draft) layer. It is checked, but not loaded yet.
  bool has_mtp = false;
};

// Loads every tensor of a snapshot under the official names or those of an mlx-vlm conversion; for types see
// WeightLoader. Throws Error{model} that lists missing, misshapen and unexpected tensors with found and
// expected shapes, or that names a quantised tensor.
Weights load_weights(SafetensorsFiles files, const GlmOcrConfig& config, Device& device, DType compute,
                     Quantization quantization = Quantization::none);

// Weights of these sizes whose tensors are made (synthetic.h). Throws Error{memory}.
Weights make_weights(WeightLoader::Maker maker, const GlmOcrConfig& config, Device& device, DType compute,
                     Quantization quantization = Quantization::none);

}  // namespace glmocr
