// SPDX-License-Identifier: Apache-2.0
#include "models/glm_ocr/vision.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "kernels/kernels.h"
#include "models/arena_size.h"
#include "models/glm_ocr/decoder.h"

namespace glmocr {
namespace {

// Small random weights for an encoder of these sizes.
class RandomWeights {
 public:
  RandomWeights(const VisionConfig& c, Device& device) : device_(device) {
    const std::int64_t h = c.hidden_size, i = c.intermediate_size, out = c.out_hidden_size;
    weights.patch_embed = linear(h, 3 * c.temporal_patch_size * c.patch_size * c.patch_size);
    for (int b = 0; b < c.depth; ++b) {
      VisionBlockWeights w;
      w.norm1 = w.norm2 = vector(h);
      w.q_norm = w.k_norm = vector(c.head_dim());
      w.q = linear(h, h);
      w.k = linear(h, h);
      w.v = linear(h, h);
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
    std::vector<float> values(shape.numel());
    for (float& value : values) {
      state_ = state_ * 1664525u + 1013904223u;
      value = (static_cast<float>(state_ >> 8) * 0x1p-23f - 1) * scale;
    }
    owners_.push_back(device_.allocate(shape.numel() * 4));
    const Tensor tensor = owners_.back().view(shape, DType::f32);
    device_.upload(values.data(), tensor);
    return tensor;
  }
  Tensor vector(std::int64_t n) { return tensor({n}, 1); }
  Weight linear(std::int64_t out, std::int64_t in) {
    Buffer copy;
    Weight weight =
        device_.prepare(tensor({out, in}, 1 / std::sqrt(static_cast<float>(in))), WeightUse::linear, copy);
    if (copy) owners_.push_back(std::move(copy));
    weight.bias = vector(out);
    return weight;
  }
  Device& device_;
  std::vector<Buffer> owners_;
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

constexpr double kNoLimit = std::numeric_limits<double>::infinity();

// The features of random pictures, in slices of `flop`; `slices` counts them.
std::vector<float> encode(Device& device, const VisionEncoder& encoder, std::span<const GridTHW> grids,
                          double flop = kNoLimit, int* slices = nullptr) {
  std::vector<float> input;
  std::int64_t patches = 0;
  for (const GridTHW& grid : grids) {  // the same wherever the picture stands in the batch
    patches += grid.patches();
    for (std::int64_t i = 0; i < grid.patches() * 1176; ++i)
      input.push_back(std::sin(static_cast<float>((i + grid.w) % 9973)));
  }
  const auto source = [&](std::int64_t begin, std::int64_t end) {
    return device.upload_array(&input[begin * 1176], {end - begin, 1176});
  };
  VisionPass pass = encoder.begin(grids);
  double of_each = 0;
  for (const GridTHW& grid : grids) of_each += encoder.flop({&grid, 1});
  EXPECT_NEAR(pass.flop_left(), of_each, 1);
  bool complete = false;
  for (double left = pass.flop_left(); !complete; left = pass.flop_left()) {
    device.run_step([&] { complete = encoder.run(pass, source, flop); });
    EXPECT_LE(left - pass.flop_left(), std::max(flop, 16 * 2.0 * 1176 * 32)) << "more than 16 rows";
    EXPECT_GT(left, pass.flop_left());
    if (slices) ++*slices;
  }
  EXPECT_NEAR(pass.flop_left(), 0, 1e-6 * encoder.flop(grids));
  EXPECT_EQ(pass.features().shape, Shape({patches / 4, 40}));
  std::vector<float> rows(pass.features().numel());
  device.download(pass.features(), rows.data());
  return rows;
}

// The largest picture that the published limits allow, in a narrow encoder: the arena's peak is what
// workspace_bytes says, so nothing grows with the square of the patches.
TEST(VisionEncoder, LargestPictureTakesTheMemoryItSays) {
  const GlmOcrConfig config = narrow_config();
  const auto device = open_device("cpu");
  const RandomWeights random(config.vision, *device);
  const VisionEncoder encoder(config, random.weights, *device, DType::f32);
  const GridTHW grids[] = {{1, 128, 192}};
  ASSERT_EQ(grids[0].patches(), 24'576);
  const std::int64_t before = device->memory()->used();
  {
    const VisionPass pass = encoder.begin(grids);
    EXPECT_EQ(device->memory()->used() - before, encoder.held_bytes(24'576));
  }
  for (const float value : encode(*device, encoder, grids)) ASSERT_TRUE(std::isfinite(value));
  EXPECT_LE(device->arena_peak_bytes(), encoder.workspace_bytes(24'576));
}

// Pictures of one batch do not see each other.
TEST(VisionEncoder, PicturesInABatchAreIndependent) {
  const GlmOcrConfig config = narrow_config();
  const auto device = open_device("ref");
  const RandomWeights random(config.vision, *device);
  const VisionEncoder encoder(config, random.weights, *device, DType::f32);
  const GridTHW both[] = {{1, 4, 6}, {1, 2, 8}};
  const std::vector<float> together = encode(*device, encoder, both);
  const std::vector<float> alone = encode(*device, encoder, std::span(both).first(1));
  ASSERT_EQ(std::ssize(together), (6 + 4) * 40);
  ASSERT_EQ(std::ssize(alone), 6 * 40);
  for (std::int64_t i = 0; i < std::ssize(alone); ++i) EXPECT_EQ(together[i], alone[i]) << i;
}

// However it is cut into slices, and whatever is encoded with it, a picture gets the same features, bit by bit.
TEST(VisionEncoder, SlicesDoNotChangeTheFeatures) {
  GlmOcrConfig config = narrow_config();
  config.vision.depth = 3;
  config.vision.num_heads = 2;
  for (const char* name : {"ref", "cpu"}) {
    const auto device = open_device(name);
    const RandomWeights random(config.vision, *device);
    const VisionEncoder encoder(config, random.weights, *device, DType::f32);
    const GridTHW grids[] = {{1, 2, 6}, {1, 10, 12}, {2, 4, 4}, {1, 2, 2}};
    int once = 0, slices = 0;
    const std::vector<float> expected = encode(*device, encoder, grids, kNoLimit, &once);
    EXPECT_EQ(once, 1);
    for (const double parts : {2.5, 7.0, 30.0}) {
      slices = 0;
      EXPECT_EQ(encode(*device, encoder, grids, encoder.flop(grids) / parts, &slices), expected) << name;
      EXPECT_GE(slices, static_cast<int>(parts)) << name;
      EXPECT_LE(slices, 3 * parts + 1) << name;
    }
    const std::vector<float> alone = encode(*device, encoder, std::span(grids).subspan(1, 1), 2e5);
    EXPECT_TRUE(std::equal(alone.begin(), alone.end(), expected.begin() + 3 * 40)) << name;
  }
}

// With the published sizes a slice of 0.1 TFLOP has work enough to be efficient, and the largest picture takes some
// hundred of them.
TEST(VisionEncoder, FlopOfThePublishedSizes) {
  GlmOcrConfig c;
  c.vision = {
      .hidden_size = 1024, .depth = 24, .num_heads = 16, .intermediate_size = 4096, .out_hidden_size = 1536};
  const auto device = open_device("ref");
  const VisionWeights no_weights;
  const VisionEncoder vision(c, no_weights, *device, DType::f32);
  for (const GridTHW& grid : {GridTHW{1, 40, 40}, {1, 122, 158}, {1, 128, 192}}) {
    const double n = static_cast<double>(grid.patches()), expected = 0.823e9 * n + 98'304 * n * n;
    EXPECT_NEAR(vision.flop({&grid, 1}) / expected, 1, 0.01) << n;
  }
}

// With the published sizes in fp32, the largest picture, its prompt and its keys and values take less than 1.8
// GB besides the weights.
TEST(VisionEncoder, PublishedModelReadsTheLargestPictureWithin1800MB) {
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
  const VisionEncoder vision(c, no_vision, *device, DType::f32);
  const DecoderWeights no_weights;
  const Decoder decoder(c, no_weights, *device, DType::f32);
  const std::int64_t pages = divide_up(6144 + 12 + 2048, 32);
  const std::int64_t kv = pages * device->kv_page_bytes(decoder.kv_spec(pages, 32));
  const std::int64_t rows = 6144 * std::int64_t{c.text.hidden_size} * 4;
  const std::int64_t step = std::max(vision.workspace_bytes(24'576), decoder.workspace_bytes(512, 1));
  const std::int64_t held = vision.held_bytes(24'576);
  EXPECT_LE(held + step + kv + rows, std::int64_t{1'800'000'000});
  EXPECT_GT(held + step, std::int64_t{400'000'000}) << "an estimate that small has forgotten something";
}

}  // namespace
}  // namespace glmocr
