// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "glmocr/export.h"
#include "glmocr/image.h"
#include "glmocr/model.h"
#include "glmocr/region.h"

namespace glmocr {

struct LayoutOptions {
  // 0 … 1. Regions with a lower score are left out. It is the threshold of the masks too, and so changes the polygons.
  float threshold = 0.3f;
  // Pages in one pass of the network. More take more memory and are seldom faster on a CPU.
  int pages_at_once = 1;
};

// A loaded layout detector (PP-DocLayoutV3). Cheap to copy: copies share it. Its functions may be called from any
// thread; one call at a time uses the device.
class GLMOCR_API LayoutModel {
 public:
  // `path` as for Model::load. `options`: one device, not a list; the quantization does not matter.
  // ComputeType::automatic is fp32, because boxes start at the edges of masks; on a card products then count sixteen
  // bits of their operands, which finds the same regions. Throws Error{model} naming file, key or tensor, Error{device},
  // Error{memory}, and Error{usage} for options out of range.
  static LayoutModel load(const std::string& path, const LoadOptions& options = {});

  // The regions of each page in reading order: label, score, box, polygon and task are set. They are what the
  // network's own post-processing gives: boxes may overlap, may have several labels, and may reach beyond the page by
  // a little. `sink` gets the network's tensors, of all pages of a pass together (docs/architecture.md, Layout). Throws
  // Error{usage} for options out of range, Error{input} for a picture without pixels or with others than its size says,
  // Error{memory}, Error{model} where a result is not finite.
  std::vector<std::vector<Region>> detect(std::span<const Image> pages, const LayoutOptions& options = {},
                                          const TensorSink& sink = {}) const;

  const std::string& path() const;    // the snapshot's folder
  const std::string& device() const;  // "cuda:0", "cpu"
  // What the weights take of LoadOptions::memory_limit; on a card what a pass over one page takes as well.
  std::int64_t memory_bytes() const;

 private:
  struct GLMOCR_LOCAL State;
  explicit LayoutModel(std::shared_ptr<State> state) : state_(std::move(state)) {}
  std::shared_ptr<State> state_;
};

// The layout model to use when none is named: GLMOCR_LAYOUT_MODEL, else the embedded one,
// share/glm-ocr/models/mini-layout, found as default_model_path finds its model. Throws Error{model} naming every
// place that was searched.
GLMOCR_API std::string default_layout_model_path();

}  // namespace glmocr
