// SPDX-License-Identifier: Apache-2.0
#include "models/pp_doclayout_v3/preprocess.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/mapped_file.h"

namespace glmocr::doclayout {
namespace {

using Json = nlohmann::json;

// The picture of tools/make_layout_golden.py.
Image noise(int width, int height) {
  Image image{width, height, {}};
  for (std::uint32_t i = 0; i < 3u * width * height; ++i) {
    std::uint32_t x = i * 2654435761u + 12345u;
    x ^= x >> 13;
    x *= 1597334677u;
    const std::uint32_t contrast = i / 24 % 5;
    image.rgb.push_back(contrast == 0 ? 255 : contrast == 1 ? 0 : x >> 20 & 255);
  }
  return image;
}

std::uint32_t crc32(const std::vector<std::uint8_t>& bytes) {
  std::uint32_t crc = ~0u;
  for (const std::uint8_t byte : bytes) {
    crc ^= byte;
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc & 1 ? 0xEDB88320u : 0);
  }
  return ~crc;
}

TEST(ResizePlain, EqualsTorchvisionByteForByte) {
  const Json golden =
      Json::parse(read_file(std::filesystem::path(GLMOCR_TEST_DATA) / "golden/layout/resize.json"));
  ASSERT_EQ(golden.at("cases").size(), 8u);
  for (const Json& test : golden["cases"]) {
    const Image resized = resize_plain(noise(test["size"][0], test["size"][1]), test["to"][0], test["to"][1]);
    EXPECT_EQ(crc32(resized.rgb), test["crc32"].get<std::uint32_t>()) << test.dump();
  }
}

TEST(ResizePlain, APictureOfTheRightSizeStaysAsItIs) {
  const Image image = noise(32, 64);
  EXPECT_EQ(resize_plain(image, 32, 64).rgb, image.rgb);
}

}  // namespace
}  // namespace glmocr::doclayout
