// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "models/pp_doclayout_v3/weights.h"
#include "tensor/device.h"

namespace glmocr::doclayout {

// What the rows of a self-attention are: those of a page, heads and the epsilon of the norm after it.
struct PlacedRows {
  std::int64_t per_page = 0, heads = 1;
  float eps = 1e-5f;
};

// x = norm(x + attention(x)) over the rows of each page, in place. `positions`, [x.rows or those of one page, width],
// are added to what queries and keys are made of.
void attend_to_page(Device& device, const AttentionWeights& w, const LayerNormWeights& norm, const Tensor& x,
                    const Tensor& positions, const PlacedRows& rows);

}  // namespace glmocr::doclayout
