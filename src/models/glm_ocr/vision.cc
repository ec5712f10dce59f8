// SPDX-License-Identifier: Apache-2.0
#include "models/glm_ocr/vision.h"

#include <algorithm>
#include <cmath>

#include "models/glm_ocr/rotary.h"

namespace glmocr {
namespace {

// Rows of the MLP that run together: its width is several times the hidden size, and a page has 24,576 rows.
constexpr std::int64_t kMlpRows = 4096;

// Eps of torch.nn.LayerNorm, which no config names.
constexpr float kMergerNormEps = 1e-5f;

// Rows of each picture: [pictures + 1] offsets.
std::vector<std::int32_t> segment_offsets(std::span<const GridTHW> grids) {
  std::vector<std::int32_t> offsets{0};
  for (const GridTHW& grid : grids) {
    for (int frame = 0; frame < grid.t; ++frame) {
      offsets.push_back(offsets.back() + static_cast<std::int32_t>(grid.patches() / grid.t));
    }
  }
  return offsets;
}

}  // namespace

Tensor VisionEncoder::encode(const Tensor& patches, std::span<const GridTHW> grids,
                             const Observer& observer) const {
  Ops& ops = device_.ops();
  const std::vector<std::int32_t> segments = segment_offsets(grids);
  GLMOCR_CHECK(segments.back() == patches.size(0));

  const Tensor merged = device_.scratch({patches.size(0) / 4, config_.out_hidden_size}, patches.dtype);
  const ArenaScope scope(device_);
  const Tensor x = ops.linear(patches, weights_.patch_embed.weight, {.bias = weights_.patch_embed.bias});
  observe(observer, "vision.patch_embed", x);
  const Tensor table = rotary(grids);
  for (std::size_t i = 0; i < weights_.blocks.size(); ++i) {
    block(weights_.blocks[i], x, table, segments);
    observe(observer, cat("vision.blocks.", i), x);
  }
  merge(x, merged, observer);
  return merged;
}

// Pair p of a head turns with the patch's row for the first quarter of the head, with its column for the
// second.
Tensor VisionEncoder::rotary(std::span<const GridTHW> grids) const {
  std::vector<std::int32_t> rows, columns;
  const int merge = config_.spatial_merge_size;
  for (const GridTHW& grid : grids) {
    for (int frame = 0; frame < grid.t; ++frame) {
      for (int y = 0; y < grid.h; y += merge) {
        for (int x = 0; x < grid.w; x += merge) {
          for (int i = 0; i < merge * merge; ++i) {
            rows.push_back(y + i / merge);
            columns.push_back(x + i % merge);
          }
        }
      }
    }
  }
  const auto n = std::ssize(rows);
  rows.insert(rows.end(), columns.begin(), columns.end());

  const int quarter = config_.head_dim() / 4;
  std::vector<float> frequencies = inverse_frequencies(config_.rope_theta, config_.head_dim() / 2, quarter);
  frequencies.insert(frequencies.end(), frequencies.begin(), frequencies.begin() + quarter);
  std::vector<std::int32_t> axis(frequencies.size(), 0);
  std::fill(axis.begin() + quarter, axis.end(), 1);

  const auto pairs = std::ssize(axis);
  return device_.ops().rotary_table(device_.upload_array(rows.data(), {2, n}),
                                    device_.upload_array(frequencies.data(), {pairs}),
                                    device_.upload_array(axis.data(), {pairs}), DType::f32);
}

// x = x + attention(norm1(x)); x = x + mlp(norm2(x)), in place.
void VisionEncoder::block(const VisionBlockWeights& w, const Tensor& x, const Tensor& table,
                          std::span<const std::int32_t> segments) const {
  Ops& ops = device_.ops();
  const std::int64_t n = x.size(0), hidden = config_.hidden_size, heads = config_.num_heads,
                     head_dim = config_.head_dim();
  const NormOptions eps{.eps = config_.rms_norm_eps};
  {
    const ArenaScope scope(device_);
    const Tensor h = ops.rms_norm(x, w.norm1, eps);
    // Rows of the fused weight: q, k, v.
    const auto part = [&](std::int64_t i) {
      return ops
          .linear(h, w.qkv.weight.slice(0, i * hidden, (i + 1) * hidden),
                  {.bias = w.qkv.bias.slice(0, i * hidden, (i + 1) * hidden)})
          .reshape({n, heads, head_dim});
    };
    const Tensor q = ops.rope(ops.rms_norm(part(0), w.q_norm, eps), table, RopeStyle::half_split);
    const Tensor k = ops.rope(ops.rms_norm(part(1), w.k_norm, eps), table, RopeStyle::half_split);
    const Tensor v = part(2);
    const float scale = 1 / std::sqrt(static_cast<float>(head_dim));
    const Tensor a = ops.attention(q, k, v, {.scale = scale, .segments = segments});
    ops.linear(a, w.proj.weight, {.bias = w.proj.bias, .residual = x, .out = x});
  }
  for (std::int64_t begin = 0; begin < n; begin += kMlpRows) {
    const ArenaScope scope(device_);
    const Tensor rows = x.slice(0, begin, std::min(begin + kMlpRows, n));
    const Tensor h = ops.rms_norm(rows, w.norm2, eps);
    const Tensor gate = ops.linear(h, w.gate.weight, {.bias = w.gate.bias});
    const Tensor up = ops.linear(h, w.up.weight, {.bias = w.up.bias});
    ops.linear(ops.swiglu(gate, up), w.down.weight, {.bias = w.down.bias, .residual = rows, .out = rows});
  }
}

// Norm, 2×2 convolution, and the merger's projection and MLP: four patch rows become one token.
void VisionEncoder::merge(const Tensor& x, const Tensor& merged, const Observer& observer) const {
  Ops& ops = device_.ops();
  const VisionWeights& w = weights_;
  const Tensor normed = ops.rms_norm(x, w.post_layernorm, {.eps = config_.rms_norm_eps});
  observe(observer, "vision.post_layernorm", normed);
  // Four consecutive rows are one 2×2 block, so the convolution is a product with rows of four.
  const Tensor blocks = normed.reshape({x.size(0) / 4, 4 * std::int64_t{config_.hidden_size}});
  const Tensor down = ops.linear(blocks, w.downsample.weight, {.bias = w.downsample.bias});
  observe(observer, "vision.downsample", down);
  const Tensor y = ops.activate(ops.layer_norm(ops.linear(down, w.merger_proj.weight), w.merger_norm,
                                               w.merger_norm_bias, {.eps = kMergerNormEps}),
                                Activation::gelu);
  const Tensor gate = ops.linear(y, w.merger_gate.weight);
  const Tensor up = ops.linear(y, w.merger_up.weight);
  ops.linear(ops.swiglu(gate, up), w.merger_down.weight, {.out = merged});
  observe(observer, "vision.merger", merged);
}

std::int64_t VisionEncoder::workspace_bytes(std::int64_t patches, DType compute) const {
  const std::int64_t hidden = config_.hidden_size, out = config_.out_hidden_size;
  const std::int64_t input = std::int64_t{config_.in_channels} * config_.temporal_patch_size *
                             config_.patch_size * config_.patch_size;
  const std::int64_t attention = 9 * patches * hidden;  // norm, q k v, their norms, their turns, result
  const std::int64_t mlp =
      std::min(patches, kMlpRows) * (hidden + 3 * std::int64_t{config_.intermediate_size});
  const std::int64_t merger = patches / 4 * (4 * hidden + 4 * out + 3 * out * config_.in_channels);
  const std::int64_t values =
      patches * (input + hidden) + patches / 4 * out + std::max({attention, mlp, merger});
  const std::int64_t rotary = patches * config_.head_dim() * 4 + 2 * patches * 4;
  return values * size_of(compute) + rotary;
}

}  // namespace glmocr
