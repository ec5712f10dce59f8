// SPDX-License-Identifier: Apache-2.0
#include "kernel_test.h"

namespace glmocr::test {
namespace {

class PatchifyTest : public KernelTest {
 protected:
  struct Size {
    std::int64_t height, width;  // in blocks
    int patch_size, frames, merge_size;
  };
  static constexpr Size kSizes[] = {{1, 1, 1, 1, 1}, {1, 1, 2, 3, 2},  {3, 2, 5, 1, 1},  {2, 5, 14, 2, 2},
                                    {4, 1, 3, 2, 3}, {6, 7, 14, 1, 2}, {9, 20, 14, 2, 2}};

  std::vector<std::uint8_t> bytes(std::int64_t count) {
    std::vector<std::uint8_t> values(count);
    for (std::uint8_t& value : values) value = random_() >> 8;
    return values;
  }
  static Tensor run(Device& device, const std::vector<std::uint8_t>& rgb, const Numbers& table, const Size& s,
                    DType dtype, std::int64_t first = 0, std::int64_t count = 0) {
    const std::int64_t unit = s.patch_size * s.merge_size;
    const Tensor picture = device.upload_array(rgb.data(), {s.height * unit, s.width * unit, 3});
    const Tensor normalized = make(device, table, {3, 256}, DType::f32);
    poison(device);
    return device.ops().patchify(picture, normalized,
                                 {.patch_size = s.patch_size,
                                  .frames = s.frames,
                                  .merge_size = s.merge_size,
                                  .first = first,
                                  .count = count,
                                  .out = {}},
                                 dtype);
  }
};

// In the order of the loops: blocks, patches of a block, channel, frame, y, x.
TEST_P(PatchifyTest, IsTheTableInTheOrderOfTheModel) {
  for (const Size& s : kSizes) {
    const std::int64_t patch = s.patch_size, merge = s.merge_size, unit = patch * merge;
    const std::int64_t row_bytes = 3 * unit * s.width;
    const std::vector<std::uint8_t> rgb = bytes(s.height * unit * row_bytes);
    const Numbers table = random(3 * 256);
    Numbers expected;
    for (std::int64_t block = 0; block < s.height * s.width; ++block) {
      for (std::int64_t within = 0; within < merge * merge; ++within) {
        const std::int64_t top = (block / s.width * merge + within / merge) * patch;
        const std::int64_t left = (block % s.width * merge + within % merge) * patch;
        for (int channel = 0; channel < 3; ++channel) {
          for (int frame = 0; frame < s.frames; ++frame) {
            for (std::int64_t y = top; y < top + patch; ++y) {
              for (std::int64_t x = left; x < left + patch; ++x) {
                const float value = table[channel * 256 + rgb[y * row_bytes + 3 * x + channel]];
                expected.push_back(dtype_ == DType::bf16 ? round_to_bf16(value) : value);
              }
            }
          }
        }
      }
    }
    for (Device* device : {tested_.get(), ref_.get()}) {
      const ArenaScope scope(*device);
      const Tensor y = run(*device, rgb, table, s, dtype_);
      EXPECT_EQ(y.dtype, dtype_);
      EXPECT_EQ(y.columns(), 3 * s.frames * patch * patch);
      EXPECT_EQ(download(*device, y), expected) << device->name() << ", patch " << patch;
    }
  }
}

TEST_P(PatchifyTest, SomePatchesAreThoseOfAll) {
  const Size s{5, 7, 3, 2, 2};
  const std::vector<std::uint8_t> rgb = bytes(5 * 6 * 7 * 6 * 3);
  const Numbers table = random(3 * 256);
  for (Device* device : {tested_.get(), ref_.get()}) {
    const ArenaScope scope(*device);
    const Numbers all = download(*device, run(*device, rgb, table, s, dtype_));
    const std::int64_t values = 3 * 2 * 9;
    for (const auto& [first, count] : {std::pair{0, 4}, {4, 40}, {48, 92}, {136, 4}, {60, 0}}) {
      const Numbers some = download(*device, run(*device, rgb, table, s, dtype_, first, count));
      const std::int64_t expected = count > 0 ? count : 140 - first;
      ASSERT_EQ(std::ssize(some), expected * values);
      EXPECT_TRUE(std::equal(some.begin(), some.end(), all.begin() + first * values)) << first;
    }
  }
}

TEST_P(PatchifyTest, OutGoesWhereAsked) {
  Device& device = *tested_;
  const std::vector<std::uint8_t> rgb = bytes(8 * 12 * 3);
  const Numbers table = random(3 * 256);
  const Tensor wide = make(device, Numbers(24 * 14, 7), {24, 14}, dtype_);
  const Tensor normalized = make(device, table, {3, 256}, DType::f32);
  const PatchOptions options{.patch_size = 2, .frames = 1, .merge_size = 2, .out = wide.slice(1, 1, 13)};
  const Tensor picture = device.upload_array(rgb.data(), {8, 12, 3});
  EXPECT_EQ(device.ops().patchify(picture, normalized, options, dtype_).data, options.out.data);
  const Numbers all = download(device, wide);
  for (std::int64_t r = 0; r < 24; ++r) {
    EXPECT_EQ(all[r * 14], 7);
    EXPECT_NE(all[r * 14 + 1], 7);
    EXPECT_EQ(all[r * 14 + 13], 7);
  }
}

TEST_P(PatchifyTest, SidesMustBeWholeBlocks) {
  Device& device = *tested_;
  const std::vector<std::uint8_t> rgb = bytes(8 * 6 * 3);
  const Tensor normalized = make(device, random(3 * 256), {3, 256}, DType::f32);
  const PatchOptions options{.patch_size = 2, .frames = 1, .merge_size = 2, .out = {}};
  EXPECT_THROW(device.ops().patchify(device.upload_array(rgb.data(), {8, 6, 3}), normalized, options, dtype_),
               Error);
}

GLMOCR_KERNEL_SUITE(PatchifyTest);

}  // namespace
}  // namespace glmocr::test
