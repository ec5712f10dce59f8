// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "models/glm_ocr/rotary.h"
#include "models/glm_ocr/weights.h"
#include "models/observer.h"

namespace glmocr {

// Pictures on their way through the encoder together, and what they hold between the steps that encode them.
class VisionPass {
 public:
  bool complete() const { return stage_ == stages_; }
  // Whether the patches of the pictures are still asked for.
  bool reads_patches() const { return stage_ == 0; }
  std::span<const GridTHW> grids() const { return grids_; }
  std::int64_t patches() const { return segments_.back(); }
  double flop_left() const { return flop_left_; }
  // [Σ patches / merge², out_hidden], once complete.
  const Tensor& features() const { return features_; }

 private:
  friend class VisionEncoder;
  std::vector<GridTHW> grids_;
  std::vector<std::int32_t> segments_;  // first row of each frame of each picture, and the end
  std::int64_t longest_ = 0;            // rows of the longest segment
  Buffer memory_;
  Tensor x_;  // [patches, hidden]
  // [patches, heads, head_dim], of the current block; q_ becomes the result of its attention
  Tensor q_, k_, v_;
  Tensor rotary_;    // [2, patches, head_dim / 2] f32
  Tensor features_;  // in the memory of k_, which is free by then

  // Every stage goes through all rows, a group at a time, before the next begins: the patches' embedding; for each
  // block of the encoder its queries, keys and values, its attention, the rest of it; the merger.
  int stages_ = 0;
  int stage_ = 0;
  std::int64_t row_ = 0;  // rows of the stage that are done
  double flop_left_ = 0;
};

// CogViT encoder and merger: docs/model.md, "Vision". All products run as RowClass::many, so a row does not
// depend on the number of rows, and features not on how a picture is cut into steps.
class VisionEncoder {
 public:
  // Gives the patches [begin, end) of a pass, both multiples of merge², in the order of Ops::patchify:
  // [end - begin, 3 · temporal · patch · patch] in the arena.
  using Patches = std::function<Tensor(std::int64_t begin, std::int64_t end)>;

  VisionEncoder(const GlmOcrConfig& config, const VisionWeights& weights, Device& device, DType compute);

  // Allocates what pictures of these sizes hold, held_bytes(); `paid`: the caller has taken them from the budget. The
  // pictures do not see each other. Throws Error{memory}.
  VisionPass begin(std::span<const GridTHW> grids, bool paid = false) const;

  // Within one step of the device: goes on with the pass for at most `flop` floating-point operations, but at least
  // one group of rows. True once the pass is complete.
  bool run(VisionPass& pass, const Patches& patches, double flop, const Observer& observer = {}) const;

  // Floating-point operations (two per multiplication and addition) of encoding pictures of these sizes.
  double flop(std::span<const GridTHW> grids) const;

  // Bytes that this many patches hold between steps, and the arena bytes that a step with some of them takes, a copy
  // of the pictures included for a device whose borrow() makes one.
  std::int64_t held_bytes(std::int64_t patches) const;
  // `whole`: with an observer, which is shown whole tensors.
  std::int64_t workspace_bytes(std::int64_t patches, bool whole = false) const;

 private:
  enum class Stage { embed, project, attend, finish, merge };
  static constexpr int kBlockStages = 3;
  int merge_stage() const { return 1 + kBlockStages * config_.depth; }
  Stage kind_of(int stage) const;

  double flop_per_row(Stage stage, std::int64_t segment_rows) const;
  double flop_of(const VisionPass& pass, std::int64_t begin, std::int64_t end) const;
  std::int64_t most_rows() const { return device_.step_sizes().vision_rows; }
  std::int64_t rows_at_once(const VisionPass& pass, double flop) const;
  void run_rows(VisionPass& pass, std::int64_t begin, std::int64_t end, const Patches& patches,
                const Observer& observer) const;
  void embed(VisionPass& pass, std::int64_t begin, std::int64_t end, const Tensor& patches) const;
  void project(const VisionBlockWeights& w, VisionPass& pass, std::int64_t begin, std::int64_t end) const;
  void attend(const VisionPass& pass, std::int64_t begin, std::int64_t end) const;
  void finish(const VisionBlockWeights& w, const VisionPass& pass, std::int64_t begin,
              std::int64_t end) const;
  void merge(const Tensor& x, const Tensor& merged, const Observer& observer) const;

  const VisionConfig& config_;
  const VisionWeights& weights_;
  Device& device_;
  DType compute_;
  RotaryConstants rotary_;
};

}  // namespace glmocr
