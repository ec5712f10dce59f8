// SPDX-License-Identifier: Apache-2.0
#include "models/glm_ocr/vision.h"

#include <gtest/gtest.h>

#include <cmath>
#include <list>
#include <vector>

#include "engine/kv_cache.h"
#include "kernels/kernels.h"
#include "models/glm_ocr/decoder.h"

namespace glmocr {
namespace {

// Small random weights for an encoder of these sizes; `owner` keeps them.
class RandomWeights {
 public:
  explicit RandomWeights(const VisionConfig& c) {
    const std::int64_t h = c.hidden_size, i = c.intermediate_size, out = c.out_hidden_size;
    weights.patch_embed = linear(h, 3 * c.temporal_patch_size * c.patch_size * c.patch_size);
    for (int b = 0; b < c.depth; ++b) {
      VisionBlockWeights w;
      w.norm1 = w.norm2 = vector(h);
      w.q_norm = w.k_norm = vector(c.head_dim());
      w.qkv = linear(3 * h, h);
      w.proj = linear(h, h);
      w.gate = w.up = linear(i, h);
      w.down = linear(h, i);
      weights.blocks.push_back(w);
    }
    weights.post_layernorm = vector(h);
    weights.downsample = linear(out, 4 * h);
    weights.merger_norm = weights.merger_norm_bias = vector(out);
    weights.merger_proj = linear(out, out);
    weights.merger_gate = weights.merger_up = linear(3 * out, out);
    weights.merger_down = linear(out, 3 * out);
  }

  VisionWeights weights;

 private:
  Tensor tensor(const Shape& shape, float scale) {
    std::vector<float>& values = owner_.emplace_back(static_cast<std::size_t>(shape.numel()));
    for (float& value : values) {
      state_ = state_ * 1664525u + 1013904223u;
      value = (static_cast<float>(state_ >> 8) * 0x1p-23f - 1) * scale;
    }
    return Tensor(values.data(), shape, DType::f32);
  }
  Tensor vector(std::int64_t n) { return tensor({n}, 1); }
  LinearWeights linear(std::int64_t out, std::int64_t in) {
    return {tensor({out, in}, 1 / std::sqrt(static_cast<float>(in))), vector(out)};
  }
  std::list<std::vector<float>> owner_;
  std::uint32_t state_ = 1;
};

GlmOcrConfig narrow_config() {
  GlmOcrConfig c;
  c.vision.hidden_size = 32;
  c.vision.depth = 1;
  c.vision.num_heads = 1;
  c.vision.intermediate_size = 48;
  c.vision.out_hidden_size = 40;
  return c;
}

Tensor encode(Device& device, const VisionEncoder& encoder, std::span<const GridTHW> grids) {
  std::int64_t patches = 0;
  for (const GridTHW& grid : grids) patches += grid.patches();
  const Tensor input = device.scratch({patches, 1176}, DType::f32);
  for (std::int64_t i = 0; i < input.numel(); ++i)
    input.as<float>()[i] = std::sin(static_cast<float>(i % 9973));
  return encoder.encode(input, grids);
}

// The largest picture there is, in a narrow encoder: what the arena holds at its peak is what workspace_bytes
// says, so no n×n matrix is anywhere.
TEST(VisionEncoder, LargestPictureTakesTheMemoryItSays) {
  const GlmOcrConfig config = narrow_config();
  const RandomWeights random(config.vision);
  const auto device = open_device("cpu");
  const VisionEncoder encoder(config, random.weights, *device);
  const GridTHW grids[] = {{1, 128, 192}};
  ASSERT_EQ(grids[0].patches(), 24'576);
  const Tensor rows = encode(*device, encoder, grids);
  EXPECT_EQ(rows.shape, Shape({6144, 40}));
  for (std::int64_t i = 0; i < rows.numel(); ++i) ASSERT_TRUE(std::isfinite(rows.as<float>()[i])) << i;
  // Kernels may take scratch of their own; it must not grow with the square of the rows.
  EXPECT_LE(device->arena_peak_bytes(),
            encoder.workspace_bytes(24'576, DType::f32) + (std::int64_t{64} << 20));
}

// Pictures of one batch do not see each other.
TEST(VisionEncoder, PicturesInABatchAreIndependent) {
  const GlmOcrConfig config = narrow_config();
  const RandomWeights random(config.vision);
  const auto device = open_device("ref");
  const VisionEncoder encoder(config, random.weights, *device);
  const GridTHW both[] = {{1, 4, 6}, {1, 2, 8}};
  const Tensor together = encode(*device, encoder, both);
  const Tensor alone = encode(*device, encoder, std::span(both).first(1));
  ASSERT_EQ(together.size(0), 6 + 4);
  for (std::int64_t i = 0; i < alone.numel(); ++i)
    EXPECT_EQ(together.as<float>()[i], alone.as<float>()[i]) << i;
}

// With the published sizes, the largest picture, its prompt and its cache stay within 3 GB over the weights
// in fp32.
TEST(VisionEncoder, PublishedModelReadsTheLargestPictureWithin3GB) {
  GlmOcrConfig c;
  c.vision = {
      .hidden_size = 1024, .depth = 24, .num_heads = 16, .intermediate_size = 4096, .out_hidden_size = 1536};
  c.text = {.vocab_size = 59392,
            .hidden_size = 1536,
            .num_hidden_layers = 16,
            .num_attention_heads = 16,
            .num_key_value_heads = 8,
            .head_dim = 128,
            .intermediate_size = 4608,
            .mrope_section = {16, 24, 24}};
  const auto device = open_device("ref");
  const VisionWeights no_vision;
  const VisionEncoder vision(c, no_vision, *device);
  const DecoderWeights no_weights;
  const Decoder decoder(c, no_weights, *device, DType::f32);
  const std::int64_t context = 6144 + 12 + 2048;
  const std::int64_t kv = context * engine::KvCache::bytes_per_token(c.text, DType::f32);
  const std::int64_t rows = 6144 * std::int64_t{c.text.hidden_size} * 4;
  const std::int64_t step =
      std::max(vision.workspace_bytes(24'576, DType::f32), decoder.workspace_bytes(512, 1));
  EXPECT_LE(step + kv + rows, std::int64_t{3'000'000'000});
  EXPECT_GT(step, std::int64_t{500'000'000}) << "an estimate that small has forgotten something";
}

}  // namespace
}  // namespace glmocr
