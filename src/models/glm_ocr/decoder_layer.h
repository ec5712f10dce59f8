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

// One decoder layer over the residual stream x [rows, hidden], in place: docs/model.md, "Decoder".
// `rotary_table` [2, rows, head_dim / 2]: cos and sin of the rows' positions. `layer`: the layer of
// input.cache to which their keys and values are written. input.hidden and input.positions are not read.
void decoder_layer(Device& device, const TextConfig& config, const DecoderLayerWeights& weights,
                   const Tensor& x, const Tensor& rotary_table, const DecoderInput& input, int layer);

// Arena bytes that decoder_layer takes for this many rows; all are freed at its end.
std::int64_t decoder_layer_bytes(const TextConfig& config, std::int64_t rows, DType compute);

}  // namespace glmocr
