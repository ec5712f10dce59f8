// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <span>

#include "models/glm_ocr/rotary.h"
#include "models/glm_ocr/weights.h"
#include "models/observer.h"

namespace glmocr {

// CogViT encoder and merger: docs/model.md, "Vision". All products run as RowClass::many, so a row does not
// depend on the number of rows.
class VisionEncoder {
 public:
  VisionEncoder(const GlmOcrConfig& config, const VisionWeights& weights, Device& device);

  // patches [Σ t·h·w, 3 · temporal · patch · patch] of one or more pictures, in the order of Ops::patchify →
  // [Σ t·h·w / merge², out_hidden] in the arena. Pictures do not see each other.
  Tensor encode(const Tensor& patches, std::span<const GridTHW> grids, const Observer& observer = {}) const;

  // Arena bytes that this many patches of type `compute` and encode take, including a copy of the pictures
  // for a device whose borrow() makes one.
  std::int64_t workspace_bytes(std::int64_t patches, DType compute) const;

 private:
  Tensor rotary_table(std::span<const GridTHW> grids) const;
  void attention(const VisionBlockWeights& w, const Tensor& x, const Tensor& rotary_table,
                 std::span<const std::int32_t> segments) const;
  void mlp(const VisionBlockWeights& w, const Tensor& x) const;
  void merge(const Tensor& x, const Tensor& merged, const Observer& observer) const;

  const VisionConfig& config_;
  const VisionWeights& weights_;
  Device& device_;
  RotaryConstants rotary_;
};

}  // namespace glmocr
