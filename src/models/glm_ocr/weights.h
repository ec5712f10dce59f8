// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <string>
#include <vector>

#include "models/glm_ocr/config.h"
#include "tensor/device.h"
#include "tensor/safetensors.h"

namespace glmocr {

// A linear layer: weight [out, in], bias [out] f32 or none.
struct LinearWeights {
  Tensor weight, bias;
};

struct VisionBlockWeights {
  Tensor norm1, norm2;           // [hidden]
  LinearWeights qkv;             // [3 · hidden, hidden]: q, k, v, head-major inside
  Tensor q_norm, k_norm;         // [head_dim]
  LinearWeights proj;            // [hidden, hidden]
  LinearWeights gate, up, down;  // [intermediate, hidden] twice, [hidden, intermediate]
};

struct VisionWeights {
  LinearWeights patch_embed;               // [hidden, 3 · temporal · patch · patch]
  std::vector<VisionBlockWeights> blocks;  // depth
  Tensor post_layernorm;                   // [hidden]
  LinearWeights downsample;  // [out_hidden, merge · merge · hidden], input index (dy · 2 + dx) · hidden + c
  LinearWeights merger_proj;             // [out_hidden, out_hidden], no bias
  Tensor merger_norm, merger_norm_bias;  // [out_hidden]
  LinearWeights merger_gate, merger_up;  // [merger, out_hidden], no bias
  LinearWeights merger_down;             // [out_hidden, merger], no bias
};

struct DecoderLayerWeights {
  Tensor input_layernorm, post_self_attn_layernorm;  // [hidden]
  Tensor post_attention_layernorm;                   // [hidden]: in front of the MLP, whatever its name says
  Tensor post_mlp_layernorm;                         // [hidden]
  LinearWeights q_proj;                              // [heads · head_dim, hidden]
  LinearWeights k_proj, v_proj;                      // [kv_heads · head_dim, hidden]
  LinearWeights o_proj;                              // [hidden, heads · head_dim]
  LinearWeights gate_up_proj;                        // [2 · intermediate, hidden]: gate rows, then up rows
  LinearWeights down_proj;                           // [hidden, intermediate]
};

struct DecoderWeights {
  Tensor embed_tokens;                      // [vocab, hidden]
  std::vector<DecoderLayerWeights> layers;  // num_hidden_layers
  Tensor norm;                              // [hidden]
  LinearWeights lm_head;                    // [vocab, hidden], no bias
};

// Names, shapes and bytes of the tensors that make up one part of the model, for `glm-ocr info`.
struct TensorGroup {
  std::string name;  // "vision", "decoder", "lm_head", "mtp"
  std::int64_t tensors = 0, parameters = 0, bytes = 0;
};

// All weights on the device, as stored where the device can read that (the CPU reads the mapped file itself).
struct Weights {
  VisionWeights vision;
  DecoderWeights decoder;
  bool has_mtp =
      false;  // the snapshot holds a whole multi-token-prediction layer; kept aside, not loaded yet
  std::vector<TensorGroup> groups;
  std::vector<std::string> notes;  // what a user may want to know: a layer kept aside, tensors converted
  std::int64_t copied_bytes = 0;   // bytes that had to be converted or moved, on top of the mapped file

  // Owners of what the tensors above view.
  SafetensorsFiles files;
  std::vector<Buffer> buffers;
};

// Loads every tensor of a snapshot under the official names or those of an mlx-vlm conversion. Matrices keep
// their stored type where it is `compute` or f32 is computed; bf16 compute turns other types into bf16.
// Throws Error{model} that lists missing, misshapen and unexpected tensors with found and expected shapes.
Weights load_weights(SafetensorsFiles files, const GlmOcrConfig& config, Device& device, DType compute);

}  // namespace glmocr
