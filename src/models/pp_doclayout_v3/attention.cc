// SPDX-License-Identifier: Apache-2.0
#include "models/pp_doclayout_v3/attention.h"

#include <cmath>

namespace glmocr::doclayout {

void attend_to_page(Device& device, const AttentionWeights& w, const LayerNormWeights& norm, const Tensor& x,
                    const Tensor& positions, const PlacedRows& rows) {
  const ArenaScope scope(device);
  Ops& ops = device.ops();
  const std::int64_t dim = x.columns() / rows.heads;
  std::vector<std::int32_t> segments;
  for (std::int64_t row = 0; row <= x.rows(); row += rows.per_page) {
    segments.push_back(static_cast<std::int32_t>(row));
  }
  const Tensor places = ops.linear(ops.add(x, positions), w.places);
  const Tensor both = places.reshape({x.rows(), 2, rows.heads, dim});
  const auto part = [&](int which) {
    Tensor some = both.slice(1, which, which + 1);
    some.shape = {x.rows(), rows.heads, dim};
    some.strides = {both.strides[0], dim, 1};
    return some;
  };
  const Tensor attended =
      ops.attention(part(0), part(1), ops.linear(x, w.v).reshape({x.rows(), rows.heads, dim}),
                    {.scale = 1 / std::sqrt(static_cast<float>(dim)), .segments = segments});
  ops.layer_norm(ops.linear(attended, w.out, {.residual = x}), norm.weight, norm.bias,
                 {.eps = rows.eps, .out = x});
}

}  // namespace glmocr::doclayout
