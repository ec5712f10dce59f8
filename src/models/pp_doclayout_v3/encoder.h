// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <array>

#include "models/observer.h"
#include "models/pp_doclayout_v3/maps.h"

namespace glmocr::doclayout {

struct Encoded {
  std::array<Tensor, 3> levels;  // [pages, h, w, hidden], strides 8, 16, 32
  Tensor masks;                  // [pages, height / 4, width / 4, prototypes] f32
};

// The hybrid encoder: a transformer layer over the coarsest map, two passes that join the levels (down and up), and
// the map that masks are made of.
class Encoder {
 public:
  Encoder(const LayoutConfig& config, const EncoderWeights& weights, Device& device, DType compute);

  // From the maps of the backbone.
  Encoded run(const std::array<Tensor, 4>& stages, const Observer& observer) const;

 private:
  void attend(const Tensor& map) const;
  void transform(const EncoderLayerWeights& w, const Tensor& x) const;
  void join(const JoinWeights& w, const Tensor& x, const Tensor& out) const;
  Tensor masks(const std::array<Tensor, 3>& levels, const Tensor& finest) const;

  const LayoutConfig& config_;
  const EncoderWeights& weights_;
  Maps maps_;
  Buffer positions_memory_;
  Tensor positions_;  // [h · w, hidden] of the coarsest map
};

}  // namespace glmocr::doclayout
