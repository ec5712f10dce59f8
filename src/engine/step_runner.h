// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <span>
#include <vector>

#include "engine/kv_cache.h"
#include "engine/sequence.h"
#include "models/glm_ocr/glm_ocr.h"

namespace glmocr::engine {

struct PictureJob {
  Sequence* sequence = nullptr;
  std::size_t picture = 0;
};

struct RowJob {
  Sequence* sequence = nullptr;
  std::int64_t begin = 0, count = 0;
  bool sample = false;
};

// The part of the engine that speaks with the device: runs what was planned. An exception leaves the
// sequences as they were; the same jobs, or some of them, may be run again.
class StepRunner {
 public:
  StepRunner(const GlmOcr& model, KvCache& cache) : model_(model), cache_(cache) {}

  // Memory for what the vision tower will make of a sequence's pictures. Throws Error{memory}.
  void reserve_features(Sequence& sequence) const;

  // Encodes pictures, of any sizes together, into their sequences' features.
  void encode(std::span<const PictureJob> jobs) const;

  // Runs rows of the decoder. One token for every job that samples, in their order.
  std::vector<SampledToken> run(std::span<const RowJob> jobs) const;

 private:
  Tensor hidden_rows(const RowBatch& batch, std::span<const RowJob> jobs) const;
  Tensor decode(const RowBatch& batch, std::span<const RowJob> jobs) const;
  Tensor feature_view(Sequence& sequence) const;

  const GlmOcr& model_;
  KvCache& cache_;
};

}  // namespace glmocr::engine
