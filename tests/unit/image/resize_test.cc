// SPDX-License-Identifier: Apache-2.0
#include "image/resize.h"

#include <gtest/gtest.h>

#include "unit/image/fixtures.h"

namespace glmocr {
namespace {

// Every byte equals the result of torchvision and of Pillow (< 13) on noise.
TEST(Resize, EqualsTorchvisionAndPillow) {
  const nlohmann::json list = read_list("pictures/resize.json");
  ASSERT_GE(list.at("cases").size(), 40u);
  for (const nlohmann::json& row : list.at("cases")) {
    SCOPED_TRACE(row.dump());
    const Image image = noise_image(row[0], row[1]);
    const Image torchvision = resize_bicubic(image, row[2], row[3], ResizeFlavour::torchvision);
    ASSERT_EQ(torchvision.width, row[2].get<int>());
    ASSERT_EQ(torchvision.height, row[3].get<int>());
    EXPECT_EQ(crc32(torchvision.rgb), row[4].get<std::uint32_t>());
    EXPECT_EQ(byte_sum(torchvision.rgb), row[5].get<std::int64_t>());
    const Image pillow = resize_bicubic(image, row[2], row[3], ResizeFlavour::pillow);
    EXPECT_EQ(crc32(pillow.rgb), row[6].get<std::uint32_t>());
    EXPECT_EQ(byte_sum(pillow.rgb), row[7].get<std::int64_t>());
  }
}

TEST(Resize, SameSizeIsACopy) {
  const Image image = noise_image(33, 21);
  EXPECT_EQ(resize_bicubic(image, 33, 21).rgb, image.rgb);
}

TEST(Resize, KeepsAConstantPicture) {
  const Image grey{17, 19, std::vector<std::uint8_t>(17 * 19 * 3, 200)};
  for (const ResizeFlavour flavour : {ResizeFlavour::torchvision, ResizeFlavour::pillow}) {
    const Image resized = resize_bicubic(grey, 50, 7, flavour);
    EXPECT_EQ(resized.rgb, std::vector<std::uint8_t>(50 * 7 * 3, 200));
  }
}

// The rows of a horizontal pass are filtered in blocks: each must be as if filtered alone.
TEST(Resize, RowsAreIndependent) {
  const Image image = noise_image(40, 37);
  const Image whole = resize_bicubic(image, 28, 37);
  for (int y = 0; y < image.height; ++y) {
    const Image row{
        40, 1, std::vector<std::uint8_t>(image.rgb.begin() + y * 120, image.rgb.begin() + (y + 1) * 120)};
    const std::vector<std::uint8_t> part(whole.rgb.begin() + y * 84, whole.rgb.begin() + (y + 1) * 84);
    EXPECT_EQ(resize_bicubic(row, 28, 1).rgb, part) << "row " << y;
  }
}

}  // namespace
}  // namespace glmocr
