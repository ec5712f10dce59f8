// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <filesystem>
#include <memory>
#include <span>
#include <vector>

#include "glmocr/image.h"
#include "models/pp_doclayout_v3/decoder.h"
#include "models/pp_doclayout_v3/detections.h"

namespace glmocr::doclayout {

// The layout detector PP-DocLayoutV3 on a device. Used by one thread at a time.
class PpDocLayoutV3 {
 public:
  // Throws Error{model}, Error{memory}; Error{device} where the device lacks operations, at the first run.
  static std::unique_ptr<PpDocLayoutV3> load(const std::filesystem::path& snapshot, Device& device,
                                             DType compute);

  const LayoutConfig& config() const { return config_; }
  const LayoutWeights& weights() const { return weights_; }

  // The regions of each page with at least this score, in reading order. All pages run in one pass. The observer is
  // shown the tensors between the parts of the network. Throws Error{model} where a result is not finite.
  std::vector<std::vector<Region>> detect(std::span<const Image> pages, float threshold,
                                          const Observer& observer = {}) const;

 private:
  PpDocLayoutV3(LayoutConfig config, SafetensorsFiles files, Device& device, DType compute);

  Tensor pixels(std::span<const Image> pages) const;

  LayoutConfig config_;
  LayoutWeights weights_;
  Device& device_;
  DType compute_;
  Encoder encoder_;
  Decoder decoder_;
  Buffer normalized_memory_;
};

}  // namespace glmocr::doclayout
