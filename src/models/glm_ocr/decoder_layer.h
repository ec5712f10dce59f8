// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "models/glm_ocr/config.h"
#include "models/glm_ocr/weights.h"
#include "tensor/device.h"

namespace glmocr {

// The rows of one step, of any number of sequences.
struct DecoderInput {
  Tensor hidden;     // [rows, hidden]: token embeddings and picture features; overwritten
  Tensor positions;  // [3, rows] i32; rows may be strided
  Tensor slots;      // [rows] i32: where each row's key and value go
  PagedBatch batch;
  KvStore* cache = nullptr;  // made from Decoder::kv_spec
};

// What layers hand on, [rows, hidden] both: the residual stream, and its norm for what comes next.
struct LayerRows {
  Tensor x, h;
};

// One decoder layer, in place: docs/model.md, "Decoder". rows.h is the norm of rows.x by the layer's first norm; it
// becomes that by `next_norm`. `rotary_table` [2, rows, head_dim / 2]: cos and sin of the rows' positions. `layer`: the
// layer of input.cache to which their keys and values are written. input.hidden and input.positions are not read.
void decoder_layer(Device& device, const TextConfig& config, const DecoderLayerWeights& weights,
                   const LayerRows& rows, const Tensor& next_norm, const Tensor& rotary_table,
                   const DecoderInput& input, int layer);

// Arena bytes that decoder_layer takes for this many rows; all are freed at its end.
std::int64_t decoder_layer_bytes(const TextConfig& config, std::int64_t rows, DType compute);

}  // namespace glmocr
