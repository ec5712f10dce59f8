// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <span>

#include "models/glm_ocr/weights.h"
#include "models/observer.h"
#include "tensor/ops.h"

namespace glmocr {

// CogViT encoder and merger: docs/model.md, "Vision".
class VisionEncoder {
 public:
  VisionEncoder(const GlmOcrConfig& config, const VisionWeights& weights, Device& device)
      : config_(config.vision), weights_(weights), device_(device) {}

  // patches [Σ t·h·w, 3 · temporal · patch · patch] of one or more pictures in the order of preprocess.h
  // → [Σ t·h·w / merge², out_hidden] in the arena. Pictures do not see each other.
  Tensor encode(const Tensor& patches, std::span<const GridTHW> grids, const Observer& observer = {}) const;

  // Arena bytes that encode takes for so many patches of type `compute`.
  std::int64_t workspace_bytes(std::int64_t patches, DType compute) const;

 private:
  Tensor rotary(std::span<const GridTHW> grids) const;
  void block(const VisionBlockWeights& w, const Tensor& x, const Tensor& rotary_table,
             std::span<const std::int32_t> segments) const;
  void merge(const Tensor& x, const Tensor& merged, const Observer& observer) const;

  const VisionConfig& config_;
  const VisionWeights& weights_;
  Device& device_;
};

}  // namespace glmocr
