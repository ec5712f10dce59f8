// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <array>

#include "models/pp_doclayout_v3/maps.h"

namespace glmocr::doclayout {

// HGNetV2: pixels [pages, height, width, 3] → the maps of its four stages, with strides 4, 8, 16 and 32.
std::array<Tensor, 4> run_backbone(const Maps& maps, const BackboneConfig& config,
                                   const BackboneWeights& weights, const Tensor& pixels);

}  // namespace glmocr::doclayout
