// SPDX-License-Identifier: Apache-2.0
#include "models/glm_ocr/vision.h"

#include <algorithm>
#include <cmath>

#include "models/arena_size.h"

namespace glmocr {
namespace {

// The MLP runs on this many rows at a time: it is several times as wide as hidden_size, and a page may have
// 24,576 rows.
constexpr std::int64_t kMlpRows = 4096;

// The default eps of torch.nn.LayerNorm; config.json has no key for it.
constexpr float kMergerNormEps = 1e-5f;

// A block of 2×2 patches becomes one token; config.cc accepts no other size.
constexpr std::int64_t kMerged = 4;

// The first half of the pairs is rotated by the patch's row, the second by its column.
RotaryConstants make_rotary(const VisionConfig& c, Device& device) {
  const int quarter = c.head_dim() / 4;
  const std::vector<float> once = inverse_frequencies(c.rope_theta, c.head_dim() / 2, quarter);
  std::vector<float> frequencies = once;
  frequencies.insert(frequencies.end(), once.begin(), once.end());
  std::vector<std::int32_t> axis(quarter, 0);
  axis.insert(axis.end(), quarter, 1);
  return {device, frequencies, axis};
}

// First row of each frame of each picture, and the end: [frames + 1].
std::vector<std::int32_t> segment_offsets(std::span<const GridTHW> grids) {
  std::vector<std::int32_t> offsets{0};
  for (const GridTHW& grid : grids) {
    for (int frame = 0; frame < grid.t; ++frame) offsets.push_back(offsets.back() + grid.h * grid.w);
  }
  return offsets;
}

}  // namespace

VisionEncoder::VisionEncoder(const GlmOcrConfig& config, const VisionWeights& weights, Device& device)
    : config_(config.vision), weights_(weights), device_(device), rotary_(make_rotary(config_, device)) {}

Tensor VisionEncoder::encode(const Tensor& patches, std::span<const GridTHW> grids,
                             const Observer& observer) const {
  const std::vector<std::int32_t> segments = segment_offsets(grids);
  GLMOCR_CHECK(segments.back() == patches.size(0));

  const Tensor merged = device_.scratch({patches.size(0) / kMerged, config_.out_hidden_size}, patches.dtype);
  const ArenaScope scope(device_);
  const Tensor x = device_.ops().linear(patches, weights_.patch_embed);
  observe(observer, "vision.patch_embed", x);
  const Tensor table = rotary_table(grids);
  for (std::int64_t i = 0; i < std::ssize(weights_.blocks); ++i) {
    attention(weights_.blocks[i], x, table, segments);
    mlp(weights_.blocks[i], x);
    observe(observer, "vision.blocks.", i, x);
  }
  merge(x, merged, observer);
  return merged;
}

// Of the row and the column of each patch, in the order of the patches: block by block.
Tensor VisionEncoder::rotary_table(std::span<const GridTHW> grids) const {
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
  const std::int64_t n = std::ssize(rows);
  rows.insert(rows.end(), columns.begin(), columns.end());
  return rotary_.table(device_.ops(), device_.upload_array(rows.data(), {2, n}), DType::f32);
}

// x = x + attention(norm1(x))
void VisionEncoder::attention(const VisionBlockWeights& w, const Tensor& x, const Tensor& table,
                              std::span<const std::int32_t> segments) const {
  Ops& ops = device_.ops();
  const ArenaScope scope(device_);
  const std::int64_t n = x.size(0), hidden = config_.hidden_size, head_dim = config_.head_dim();
  const NormOptions eps{.eps = config_.rms_norm_eps};
  const Tensor h = ops.rms_norm(x, w.norm1, eps);
  // Rows of the fused weight: q, k, v.
  const auto part = [&](std::int64_t i) {
    return ops.linear(h, w.qkv.rows(i * hidden, (i + 1) * hidden)).reshape({n, config_.num_heads, head_dim});
  };
  const Tensor q = ops.rope(ops.rms_norm(part(0), w.q_norm, eps), table, RopeStyle::half_split);
  const Tensor k = ops.rope(ops.rms_norm(part(1), w.k_norm, eps), table, RopeStyle::half_split);
  const Tensor v = part(2);
  const float scale = 1 / std::sqrt(static_cast<float>(head_dim));
  const Tensor a = ops.attention(q, k, v, {.scale = scale, .segments = segments});
  ops.linear(a, w.proj, {.residual = x, .out = x});
}

// x = x + mlp(norm2(x))
void VisionEncoder::mlp(const VisionBlockWeights& w, const Tensor& x) const {
  Ops& ops = device_.ops();
  const std::int64_t n = x.size(0);
  for (std::int64_t begin = 0; begin < n; begin += kMlpRows) {
    const ArenaScope scope(device_);
    const Tensor rows = x.slice(0, begin, std::min(begin + kMlpRows, n));
    const Tensor h = ops.rms_norm(rows, w.norm2, {.eps = config_.rms_norm_eps});
    const Tensor gate = ops.linear(h, w.gate);
    const Tensor up = ops.linear(h, w.up);
    ops.linear(ops.swiglu(gate, up), w.down, {.residual = rows, .out = rows});
  }
}

// Norm, 2×2 convolution, and the merger's projection and MLP: four patch rows become one token.
void VisionEncoder::merge(const Tensor& x, const Tensor& merged, const Observer& observer) const {
  Ops& ops = device_.ops();
  const VisionWeights& w = weights_;
  const Tensor normed = ops.rms_norm(x, w.post_layernorm, {.eps = config_.rms_norm_eps});
  observe(observer, "vision.post_layernorm", normed);
  // Four consecutive rows are one 2×2 block, so the convolution is a product over rows of four patches.
  const Tensor blocks = normed.reshape({x.size(0) / kMerged, kMerged * config_.hidden_size});
  const Tensor down = ops.linear(blocks, w.downsample);
  observe(observer, "vision.downsample", down);
  const Tensor projected = ops.layer_norm(ops.linear(down, w.merger_proj), w.merger_norm, w.merger_norm_bias,
                                          {.eps = kMergerNormEps});
  const Tensor y = ops.activate(projected, Activation::gelu);
  const Tensor gate = ops.linear(y, w.merger_gate);
  const Tensor up = ops.linear(y, w.merger_up);
  ops.linear(ops.swiglu(gate, up), w.merger_down, {.out = merged});
  observe(observer, "vision.merger", merged);
}

std::int64_t VisionEncoder::workspace_bytes(std::int64_t patches, DType compute) const {
  const VisionConfig& c = config_;
  const std::int64_t tokens = patches / kMerged, mlp_rows = std::min(patches, kMlpRows);
  const std::int64_t picture = std::int64_t{c.in_channels} * c.patch_size * c.patch_size;
  const auto tensor = [&](std::int64_t rows, std::int64_t width) {
    return arena_bytes(rows * width, compute);
  };
  const std::int64_t hidden = tensor(patches, c.hidden_size), token = tensor(tokens, c.out_hidden_size);

  // Norm; q and k, their norms and their rotations; v; the result; the sums before the residual.
  const std::int64_t attention = 10 * hidden;
  // Norm and the sums before the residual; gate, up and their product.
  const std::int64_t mlp = 2 * tensor(mlp_rows, c.hidden_size) + 3 * tensor(mlp_rows, c.intermediate_size);
  // Norm; convolution, projection, its norm and activation; gate, up and their product.
  const std::int64_t merger =
      hidden + 4 * token + 3 * tensor(tokens, std::int64_t{c.out_hidden_size} * c.in_channels);

  const std::int64_t input =
      arena_bytes(patches * picture, DType::u8) + tensor(patches, picture * c.temporal_patch_size);
  const std::int64_t rotary =
      arena_bytes(2 * patches, DType::i32) + arena_bytes(patches * c.head_dim(), DType::f32);
  return input + hidden + rotary + token + std::max({attention, mlp, merger}) + kOperationScratch;
}

}  // namespace glmocr
