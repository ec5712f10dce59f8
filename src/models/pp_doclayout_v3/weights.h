// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <array>
#include <vector>

#include "models/pp_doclayout_v3/config.h"
#include "models/weight_loader.h"

namespace glmocr::doclayout {

// A convolution with its batch normalisation, folded into weight and bias, and its window.
struct Convolution {
  Weight weight;
  Window window;
};

// The same over single channels.
struct DepthwiseConvolution {
  Tensor weight;  // [height · width, channels]
  Tensor bias;    // [channels]
  Window window;
};

struct LayerNormWeights {
  Tensor weight, bias;
};

// A layer of a block: `map`, or, of a light block, `map` (1×1, no activation) and `depthwise`.
struct BlockLayer {
  Convolution map;
  DepthwiseConvolution depthwise;
};

struct BackboneBlock {
  std::vector<BlockLayer> layers;
  Convolution squeeze, excite;
};

struct BackboneStage {
  DepthwiseConvolution downsample;  // not of the first stage
  std::vector<BackboneBlock> blocks;
};

struct BackboneWeights {
  Convolution stem1, stem2a, stem2b, stem3, stem4;
  std::array<BackboneStage, 4> stages;
};

struct AttentionWeights {
  Weight places;  // q, then k: of rows with their positions
  Weight v, out;
};

struct EncoderLayerWeights {
  AttentionWeights attention;
  LayerNormWeights attention_norm, final_norm;
  Weight fc1, fc2;
};

// Joins two levels.
struct JoinWeights {
  Convolution first, second;               // 1×1
  std::array<Convolution, 3> bottlenecks;  // RepVGG units: their two branches are added into one 3×3 kernel
};

struct EncoderWeights {
  std::array<Convolution, 3> input;  // of the strides 8, 16, 32
  std::vector<EncoderLayerWeights> layers;
  std::array<Convolution, 2> lateral, downsample;
  std::array<JoinWeights, 2> down, up;     // fpn_blocks, pan_blocks
  std::array<Convolution, 4> scale_heads;  // strides 8, 16, and two of 32
  Convolution mask_join, mask_lateral, mask_base, mask_output;
};

struct DecoderLayerWeights {
  AttentionWeights attention;
  LayerNormWeights attention_norm, sampling_norm, final_norm;
  // Of the deformable attention; `sampling`: first the offsets, then the weights.
  Weight sampling, value, output;
  Weight fc1, fc2;
};

struct DecoderWeights {
  std::array<Convolution, 3> input;  // of the three levels
  Weight selection;                  // enc_output.0
  LayerNormWeights selection_norm;   // enc_output.1
  Weight score;                      // enc_score_head, also of the decoder
  std::array<Weight, 3> box;         // enc_bbox_head, also of the decoder
  std::array<Weight, 2> position;    // query_pos_head
  std::vector<DecoderLayerWeights> layers;
  Weight order;         // decoder_order_head of the last layer
  Weight order_points;  // [2 · order_head, width]: first the queries, then the keys
  LayerNormWeights norm;
  std::array<Weight, 3> mask;  // mask_query_head
};

struct LayoutWeights : LoadedTensors {
  BackboneWeights backbone;
  EncoderWeights encoder;
  DecoderWeights decoder;
};

// Loads every tensor under the names of the published snapshot or those of transformers 5. Convolutions are folded
// in double and kept in `compute`, the type of maps, as are the matrices of the encoder; those of the decoder keep their
// stored type. Throws Error{model} that lists missing, misshapen
// and unexpected tensors.
LayoutWeights load_weights(SafetensorsFiles files, const LayoutConfig& config, Device& device,
                           DType compute = DType::f32);

}  // namespace glmocr::doclayout
