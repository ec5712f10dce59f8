// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <span>
#include <vector>

namespace glmocr {

// The ids with the largest logits, found block by block: only blocks whose largest logit can be among the best are looked
// into, so that a few of many ids cost little more than reading the logits once. Memory is kept for the next row.
class BestIds {
 public:
  // Takes in finite logits, which stay the caller's and unchanged while take() is used.
  void begin(std::span<const float> logits);

  // The `count` ids with the largest logits (all if there are fewer), best first; the lower id first among equals. Valid
  // until the next call.
  std::span<const std::int32_t> take(std::int64_t count);

 private:
  float lower_bound(std::int64_t count);

  std::span<const float> logits_;
  std::vector<float> largest_;  // of each block
  std::vector<float> order_;
  std::vector<std::int32_t> ids_;
};

}  // namespace glmocr
