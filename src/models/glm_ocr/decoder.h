// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <span>

#include "models/glm_ocr/weights.h"
#include "models/observer.h"
#include "tensor/ops.h"

namespace glmocr {

// The rows one step runs, of any number of sequences.
struct DecoderInput {
  Tensor hidden;     // [rows, hidden]: token embeddings, vision rows in their places; overwritten
  Tensor positions;  // [3, rows] i32
  Tensor slots;      // [rows] i32: where each row's key and value go
  PagedBatch batch;
  std::span<const PagedKv> cache;  // one a layer
};

// The GLM decoder: docs/model.md, "Decoder".
class Decoder {
 public:
  Decoder(const GlmOcrConfig& config, const DecoderWeights& weights, Device& device, DType compute)
      : config_(config.text), weights_(weights), device_(device), compute_(compute) {}

  Tensor embed(const Tensor& ids) const;  // [n] i32 → [n, hidden]

  // → [rows, hidden] after the final norm: what lm_head and the MTP layer read.
  Tensor forward(const DecoderInput& input, const Observer& observer = {}) const;

  Tensor logits(const Tensor& hidden) const;  // [n, hidden] → [n, vocab]

  // Arena bytes that forward and logits take for so many rows, of which `logit_rows` get logits.
  std::int64_t workspace_bytes(std::int64_t rows, std::int64_t logit_rows) const;

 private:
  Tensor rotary(const Tensor& positions) const;
  void layer(const DecoderLayerWeights& w, const Tensor& x, const Tensor& rotary_table,
             const DecoderInput& input, const PagedKv& cache) const;

  const TextConfig& config_;
  const DecoderWeights& weights_;
  Device& device_;
  DType compute_;
};

}  // namespace glmocr
