// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "models/pp_doclayout_v3/encoder.h"

namespace glmocr::doclayout {

// What the network says of each query, rows page after page.
struct Decoded {
  Tensor logits;        // [pages · queries, classes]
  Tensor boxes;         // [pages · queries, 4] f32: centre x and y, width and height, in 0 … 1
  Tensor order_points;  // [pages · queries, 2 · order_head]: i is before j where query i · key j is high
  Tensor mask_queries;  // [pages · queries, prototypes]: their products with Encoded::masks are the masks
};

// Chooses the places that are most like a region, and refines them layer by layer. In fp32, whatever the maps are:
// it costs little, and boxes and order need the digits.
class Decoder {
 public:
  // Throws Error{memory}.
  Decoder(const LayoutConfig& config, const DecoderWeights& weights, Device& device);

  Decoded run(const Encoded& encoded, const Observer& observer) const;

 private:
  Tensor sources(const Encoded& encoded) const;
  Tensor select(const Tensor& sources, std::int64_t pages, const Observer& observer) const;
  Tensor run_mlp(const std::array<Weight, 3>& w, const Tensor& x) const;
  void run_layer(const DecoderLayerWeights& w, const Tensor& sources, std::int64_t pages, const Tensor& boxes,
                 const Tensor& x) const;

  const LayoutConfig& config_;
  const DecoderWeights& weights_;
  Maps maps_;
  std::array<MapLevel, 3> levels_;
  // Of one page: places too near to the edge to start a region. With as many zeros, and a row of zeros.
  Buffer edge_memory_, zero_memory_;
  Tensor edge_rows_, first_row_, zero_;
};

}  // namespace glmocr::doclayout
