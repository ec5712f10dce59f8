// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "models/glm_ocr/decoder_layer.h"
#include "models/glm_ocr/rotary.h"
#include "models/observer.h"

namespace glmocr {

// The GLM decoder: docs/model.md, "Decoder". embed, forward and logits upload nothing and, without an
// observer, take no memory but the arena's.
class Decoder {
 public:
  Decoder(const GlmOcrConfig& config, const DecoderWeights& weights, Device& device, DType compute);

  Tensor embed(const Tensor& ids) const;  // [n] i32 → [n, hidden]

  // → [rows, hidden] after the final norm: what lm_head and the draft layer read.
  Tensor forward(const DecoderInput& input, const Observer& observer = {}) const;

  Tensor logits(const Tensor& hidden) const;  // [n, hidden] → [n, vocab], summed as RowClass::few

  KvSpec kv_spec(std::int64_t pages, int page_size) const;

  // Arena bytes that embed, forward and logits take for `rows` rows, of which `logit_rows` are gathered and
  // get logits.
  std::int64_t workspace_bytes(std::int64_t rows, std::int64_t logit_rows) const;

 private:
  const TextConfig& config_;
  const DecoderWeights& weights_;
  Device& device_;
  DType compute_;
  RotaryConstants rotary_;
  std::vector<DecoderBlock> blocks_;  // all layers, as a device takes them at once
};

}  // namespace glmocr
