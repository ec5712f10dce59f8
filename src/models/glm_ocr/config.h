// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <array>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "models/glm_ocr/preprocess.h"
#include "models/tokenizer.h"

namespace glmocr {

// text_config: the GLM decoder.
struct TextConfig {
  int vocab_size = 0;
  int hidden_size = 0;
  int num_hidden_layers = 0;
  int num_attention_heads = 0;
  int num_key_value_heads = 0;
  int head_dim = 0;  // read from the file: not hidden_size / heads
  int intermediate_size = 0;
  int max_position_embeddings = 0;
  int num_nextn_predict_layers = 0;
  float rms_norm_eps = 1e-5f;
  double rope_theta = 10000;
  std::array<int, 3> mrope_section{};  // pairs rotated by the temporal, height and width position
};

// vision_config: the CogViT encoder.
struct VisionConfig {
  int hidden_size = 0;
  int depth = 0;
  int num_heads = 0;
  int intermediate_size = 0;
  int out_hidden_size = 0;
  int patch_size = 14;
  int temporal_patch_size = 2;
  int spatial_merge_size = 2;
  int in_channels = 3;
  float rms_norm_eps = 1e-5f;
  double rope_theta = 10000;

  int head_dim() const { return hidden_size / num_heads; }
};

// generation_config.json; keys that it lacks are taken from text_config.
struct GenerationConfig {
  std::vector<TokenId> eos_token_id;  // every id ends the text
  TokenId pad_token_id = 0;
};

struct GlmOcrConfig {
  TextConfig text;
  VisionConfig vision;
  GenerationConfig generation;
  PreprocessConfig preprocess;
  TokenId image_start_token_id = 0;
  TokenId image_end_token_id = 0;
  TokenId image_token_id = 0;
};

// Reads and checks config.json, generation_config.json and preprocessor_config.json (or image_processor of
// processor_config.json) in a snapshot's folder. Throws Error{model} naming file and key, what was found and
// what was expected.
GlmOcrConfig load_config(const std::filesystem::path& snapshot);

// Compares the special ids of config.json and the stop ids with the tokenizer's tokens. Throws Error{model}
// naming the key, its id, the token with that id and the one expected.
void check_special_tokens(const GlmOcrConfig& config, const Tokenizer& tokenizer);

}  // namespace glmocr
