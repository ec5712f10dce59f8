// SPDX-License-Identifier: Apache-2.0
#include "models/glm_ocr/preprocess.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <memory>

#include "glmocr/error.h"
#include "kernels/kernels.h"
#include "support/expect_error.h"
#include "tensor/device.h"
#include "unit/image/fixtures.h"

namespace glmocr {
namespace {

using testing::HasSubstr;

PreprocessConfig config_of(const nlohmann::json& profile) {
  PreprocessConfig config;
  config.image_mean = profile.at("image_mean");
  config.image_std = profile.at("image_std");
  config.shortest_edge = profile.at("size").at("shortest_edge");
  config.longest_edge = profile.at("size").at("longest_edge");
  return config;
}

// The patches in fp32 or, as their bits, in bf16: normalised by this room, cut by the device that defines the
// order.
template <class T>
std::vector<T> patches_of(const PreprocessedImage& image, const PreprocessConfig& config) {
  static const std::unique_ptr<Device> device = open_device("ref");
  const ArenaScope scope(*device);
  NormalizedBytes normalized = normalized_bytes(config);
  std::vector<std::uint8_t> rgb = image.resized.rgb;
  const Tensor patches =
      device->ops().patchify(Tensor(rgb.data(), {image.resized.height, image.resized.width, 3}, DType::u8),
                             Tensor(normalized.data(), {3, 256}, DType::f32),
                             {.patch_size = config.patch_size,
                              .frames = config.temporal_patch_size,
                              .merge_size = config.merge_size},
                             sizeof(T) == 4 ? DType::f32 : DType::bf16);
  EXPECT_EQ(patches.size(0), image.grid.patches());
  std::vector<T> out(patches.numel());
  device->download(patches, out.data());
  return out;
}

float widened(std::uint16_t bf16) { return std::bit_cast<float>(std::uint32_t{bf16} << 16); }

TEST(SmartResize, EqualsTransformers) {
  const nlohmann::json list = read_list("pictures/smart_resize.json");
  ASSERT_GE(list.at("cases").size(), 500u);
  int refused = 0;
  for (const nlohmann::json& row : list.at("cases")) {
    SCOPED_TRACE(row.dump());
    PreprocessConfig config;
    config.shortest_edge = row[2];
    config.longest_edge = row[3];
    if (row[4] == 0) {
      ++refused;
      EXPECT_THROW(smart_resize(row[1], row[0], config), Error);
      continue;
    }
    const ImageSize size = smart_resize(row[1], row[0], config);
    EXPECT_EQ(size.width, row[4].get<int>());
    EXPECT_EQ(size.height, row[5].get<int>());
  }
  EXPECT_GT(refused, 0);
}

TEST(SmartResize, NamesTheSizeItRefuses) {
  try {
    smart_resize(28, 5628, PreprocessConfig{});
    ADD_FAILURE() << "was accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::input);
    EXPECT_THAT(error.what(), HasSubstr("5628x28"));
  }
}

TEST(Preprocess, EqualsTransformersOnEveryPicture) {
  const nlohmann::json list = read_list("pictures/expected.json");
  for (const nlohmann::json& entry : list.at("pictures")) {
    const std::string file = entry.at("file");
    const Image image = read_picture("pictures/" + file);
    for (const auto& [name, profile] : list.at("normalisation").items()) {
      SCOPED_TRACE(file + " " + name);
      const nlohmann::json& expected = entry.at(name);
      const PreprocessConfig config = config_of(profile);
      const PreprocessedImage out = preprocess(image, config);
      EXPECT_EQ(out.resized.width, expected.at("width").get<int>());
      EXPECT_EQ(out.resized.height, expected.at("height").get<int>());
      EXPECT_EQ(crc32(out.resized.rgb), expected.at("crc32").get<std::uint32_t>());
      const GridTHW grid{expected.at("grid")[0], expected.at("grid")[1], expected.at("grid")[2]};
      EXPECT_EQ(out.grid, grid);
      EXPECT_EQ(out.grid.tokens(config.merge_size), expected.at("image_tokens").get<std::int64_t>());
      double sum = 0, sum_sq = 0;
      for (const float value : patches_of<float>(out, config)) {
        sum += value;
        sum_sq += static_cast<double>(value) * value;
      }
      // Equal values, summed in another order.
      EXPECT_NEAR(sum, expected.at("pixel_sum").get<double>(), 1e-9 * sum_sq);
      EXPECT_NEAR(sum_sq, expected.at("pixel_sum_sq").get<double>(), 1e-9 * sum_sq);
    }
  }
}

// Reference values of the published normalisation, from torchvision.
TEST(Preprocess, NormalisedValues) {
  PreprocessedImage image{{28, 28, std::vector<std::uint8_t>(28 * 28 * 3, 0)}, {1, 2, 2}};
  const PreprocessConfig config;
  const std::vector<float> black = patches_of<float>(image, config);
  EXPECT_FLOAT_EQ(black[0], -1.7922626f);
  EXPECT_FLOAT_EQ(black[392], -1.7520970f);
  EXPECT_FLOAT_EQ(black[784], -1.4802198f);
  image.resized.rgb.assign(28 * 28 * 3, 255);
  const std::vector<float> white = patches_of<float>(image, config);
  EXPECT_FLOAT_EQ(white[0], 1.9303362f);
  EXPECT_FLOAT_EQ(white[392], 2.0748835f);
  EXPECT_FLOAT_EQ(white[784], 2.1458972f);
}

TEST(Preprocess, Switches) {
  PreprocessedImage image{{28, 28, std::vector<std::uint8_t>(28 * 28 * 3, 51)}, {1, 2, 2}};
  PreprocessConfig config;
  config.do_normalize = false;
  EXPECT_FLOAT_EQ(patches_of<float>(image, config)[0], 0.2f);
  config.do_rescale = false;
  EXPECT_FLOAT_EQ(patches_of<float>(image, config)[0], 51.0f);
  config.do_normalize = true;
  EXPECT_FLOAT_EQ(patches_of<float>(image, config)[0], (51.0f - 0.48145466f) / 0.26862954f);
  for (const double too_small : {0.0, 1e-60}) {
    config.image_std[1] = too_small;
    expect_error(ErrorCode::model, {"image_std", "above 0"}, [&] { normalized_bytes(config); });
  }

  config.do_resize = false;
  EXPECT_EQ(preprocess(noise_image(56, 28), config).grid, (GridTHW{1, 2, 4}));
  EXPECT_THROW(preprocess(noise_image(57, 28), config), Error);
}

// Dark strokes of one height on white, with gaps of the same height.
Image strokes(int width, int height, int stroke) {
  Image image{width, height, std::vector<std::uint8_t>(static_cast<std::size_t>(width) * height * 3, 255)};
  for (int y = stroke; y < height - stroke; ++y) {
    for (int x = 8; x < width - 8; x += 6) {
      if (y / stroke % 2 == 1) std::fill_n(&image.rgb[(static_cast<std::size_t>(y) * width + x) * 3], 6, 20);
    }
  }
  return image;
}

TEST(SmallPrint, IsEnlargedAsFarAsThePixelsGo) {
  PreprocessConfig config;
  EXPECT_EQ(enlargement(strokes(448, 224, 7), config), 1) << "the published snapshot asks for none";
  config.enlarge_letters_below = 20;  // letters are 1.4 strokes high
  EXPECT_EQ(enlargement(strokes(448, 224, 15), config), 1);
  EXPECT_EQ(enlargement(strokes(448, 224, 13), config), 1.25);
  EXPECT_EQ(enlargement(strokes(448, 224, 7), config), 1.5);
  EXPECT_EQ(enlargement(noise_image(1, 1), config), 1);
  config.longest_edge = 2 * 600 * 300;
  EXPECT_EQ(enlargement(strokes(448, 224, 7), config), 1.25);
  config.longest_edge = 2 * 448 * 224;
  EXPECT_EQ(enlargement(strokes(448, 224, 7), config), 1);
}

TEST(SmallPrint, OneResizeFromThePictureAsItIs) {
  PreprocessConfig config;
  config.enlarge_letters_below = 20;
  const Image image = strokes(448, 225, 7);
  const PreprocessedImage out = preprocess(image, config, SmallPrint::enlarged);
  EXPECT_EQ(out.grid, (GridTHW{1, 24, 48}));
  EXPECT_EQ(out.resized.rgb, resize_bicubic(image, 672, 336).rgb);
  EXPECT_EQ(preprocess(image, config).grid, (GridTHW{1, 16, 32})) << "transformers' pixels by default";
}

// Every byte is where the order puts it: blocks of 2 x 2 patches, then channel, frame, y, x.
TEST(Preprocess, PatchOrder) {
  PreprocessConfig config;
  config.do_normalize = config.do_rescale = false;
  const PreprocessedImage image{noise_image(84, 56), {1, 4, 6}};
  const std::vector<float> out = patches_of<float>(image, config);
  std::size_t at = 0;
  for (int block = 0; block < 6; ++block) {
    for (int inside = 0; inside < 4; ++inside) {
      const int row = block / 3 * 2 + inside / 2;
      const int column = block % 3 * 2 + inside % 2;
      for (int channel = 0; channel < 3; ++channel) {
        for (int frame = 0; frame < 2; ++frame) {
          for (int y = 0; y < 14; ++y) {
            for (int x = 0; x < 14; ++x) {
              const std::size_t pixel = static_cast<std::size_t>(row * 14 + y) * 84 + column * 14 + x;
              ASSERT_EQ(out[at++], image.resized.rgb[3 * pixel + channel]);
            }
          }
        }
      }
    }
  }
  EXPECT_EQ(at, out.size());
}

TEST(Preprocess, Bf16IsRoundedToNearestEven) {
  const PreprocessConfig config;
  const PreprocessedImage image{noise_image(56, 56), {1, 4, 4}};
  const std::vector<float> exact = patches_of<float>(image, config);
  const std::vector<std::uint16_t> rounded = patches_of<std::uint16_t>(image, config);
  for (std::size_t i = 0; i < exact.size(); ++i) {
    const float value = widened(rounded[i]);
    const float up = widened(static_cast<std::uint16_t>(rounded[i] + 1));
    const float down = widened(static_cast<std::uint16_t>(rounded[i] - 1));
    const float error = std::abs(value - exact[i]);
    ASSERT_LE(error, std::min(std::abs(up - exact[i]), std::abs(down - exact[i])));
    const bool tie = error == std::abs(up - exact[i]) || error == std::abs(down - exact[i]);
    ASSERT_TRUE(!tie || rounded[i] % 2 == 0);
  }
}

}  // namespace
}  // namespace glmocr
