// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <array>
#include <filesystem>
#include <vector>

#include "glmocr/region.h"
#include "tensor/ops.h"

namespace glmocr::doclayout {

// A stage of the backbone: it halves the map, but for the first one, and then runs blocks of `layers` layers
// whose results are joined.
struct StageConfig {
  int in = 0, mid = 0, out = 0;  // channels
  int blocks = 1, layers = 6, kernel = 3;
  bool light = false;  // layers are a 1×1 convolution and one of single channels
};

struct BackboneConfig {
  std::array<int, 3> stem{3, 32, 48};
  std::array<StageConfig, 4> stages{StageConfig{48, 48, 128, 1, 6, 3, false},
                                    {128, 96, 512, 1, 6, 3, false},
                                    {512, 192, 1024, 3, 6, 5, true},
                                    {1024, 384, 2048, 1, 6, 5, true}};
};

struct EncoderConfig {
  int hidden = 256, heads = 8, feed_forward = 1024, layers = 1;
  Activation activation = Activation::gelu;      // of the transformer layer
  Activation map_activation = Activation::silu;  // of the convolutions
  double temperature = 10000;                    // of the table of positions
  std::array<int, 2> mask_channels{64, 64};
  int prototypes = 32;  // channels of the map that masks are products with
};

struct DecoderConfig {
  int width = 256, heads = 8, feed_forward = 1024, layers = 6, points = 4;
  Activation activation = Activation::relu;
  int queries = 300;
  int order_head = 64;
};

// config.json and preprocessor_config.json of a snapshot. The defaults are those of the published model.
struct LayoutConfig {
  BackboneConfig backbone;
  EncoderConfig encoder;
  DecoderConfig decoder;
  double batch_norm_eps = 1e-5;
  float layer_norm_eps = 1e-5f;
  std::vector<RegionLabel> labels;      // of the classes
  int height = 800, width = 800;        // of the picture that the network sees; multiples of 32
  std::array<float, 256> normalized{};  // the value of a byte

  // Columns and rows of the maps with strides 8, 16 and 32, level after level, and of all rows.
  std::array<MapLevel, 3> levels() const;
  std::int64_t tokens() const { return levels()[2].first + levels()[2].height * levels()[2].width; }
};

// Reads and checks a snapshot's settings. Keys that the file lacks have the values of the published model, as in
// transformers. Throws Error{model} naming file, key, what was found and what was expected.
LayoutConfig load_config(const std::filesystem::path& snapshot);

}  // namespace glmocr::doclayout
