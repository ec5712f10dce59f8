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

  // The regions of each page with at least this score, in reading order. All pages run in one pass, which the device may
  // record for each number of pages. The observer is shown the tensors between the parts of the network. Throws
  // Error{model} where a result is not finite, Error{memory}.
  std::vector<std::vector<Region>> detect(std::span<const Image> images, float threshold,
                                          const Observer& observer = {});

  // One pass over `count` pages, whatever pictures the memory for them holds, without fetching what comes out: takes the
  // memory of a pass, and is what benchmarks time. Throws Error{memory}.
  void run_network(std::int64_t count);

 private:
  PpDocLayoutV3(LayoutConfig config, SafetensorsFiles files, Device& device, DType compute);

  // What goes into a pass and what comes out of it, page after page, in memory that stays.
  struct Pages {
    Tensor pictures;                                   // [pages, height, width, 3] u8
    Tensor logits, boxes, order_points, mask_queries;  // as in Decoded
    Tensor masks;                                      // as in Encoded
  };
  Pages room_for(std::int64_t count);
  Pages pass(std::span<const Image> images, const Observer& observer);
  Pages pass_with_room(std::span<const Image> images, const Observer& observer);
  void give_back();  // all memory but that of weights
  Tensor pixels(const Tensor& pictures) const;
  void run(const Pages& pages, const Observer& observer) const;

  LayoutConfig config_;
  LayoutWeights weights_;
  Device& device_;
  DType compute_;
  Encoder encoder_;
  Decoder decoder_;
  Buffer normalized_memory_, pages_memory_;
  std::int64_t capacity_ = 0;  // pages that fit into pages_memory_
};

}  // namespace glmocr::doclayout
