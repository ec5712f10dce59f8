// SPDX-License-Identifier: Apache-2.0
#include "image/exif.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "image/orient.h"

namespace glmocr {
namespace {

using testing::ElementsAre;
using namespace std::string_literals;

int orientation(const std::string& block) {
  return exif_orientation({reinterpret_cast<const std::uint8_t*>(block.data()), block.size()});
}

const std::string kLittle = "II\x2a\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\6\0\0\0"s;
const std::string kBig = "MM\0\x2a\0\0\0\x08\0\2\1\0\0\3\0\0\0\1\0\x99\0\0\1\x12\0\3\0\0\0\1\0\x08\0\0"s;

TEST(Exif, ReadsTheOrientation) {
  EXPECT_EQ(orientation(kLittle), 6);
  EXPECT_EQ(orientation(kBig), 8);
  EXPECT_EQ(orientation("Exif\0\0"s + kLittle), 6);
}

TEST(Exif, DamageMeansUpright) {
  for (std::size_t size = 0; size < kLittle.size() - 3; ++size)
    EXPECT_EQ(orientation(kLittle.substr(0, size)), 1) << size;
  std::string other = kLittle;
  other[18] = 9;  // the value
  EXPECT_EQ(orientation(other), 1);
  other = kLittle;
  other[4] = '\xff';  // the directory's offset
  other[7] = '\xff';
  EXPECT_EQ(orientation(other), 1);
  other = kLittle;
  other[12] = 4;  // the type
  EXPECT_EQ(orientation(other), 1);
  EXPECT_EQ(orientation("IM" + kLittle.substr(2)), 1);
}

// a b c / d e f, three bytes each, read back as letters.
std::string turned(int orientation) {
  Image image{3, 2, {}};
  for (const char letter : "abcdef"s) image.rgb.insert(image.rgb.end(), 3, static_cast<std::uint8_t>(letter));
  const Image out = oriented(image, orientation);
  std::string text;
  for (int y = 0; y < out.height; ++y) {
    for (int x = 0; x < out.width; ++x) text += static_cast<char>(out.rgb[3 * (y * out.width + x)]);
    text += '/';
  }
  return text;
}

TEST(Orient, AllEight) {
  const std::vector<std::string> expected = {"abc/def/",  "cba/fed/",  "fed/cba/",  "def/abc/",
                                             "ad/be/cf/", "da/eb/fc/", "fc/eb/da/", "cf/be/ad/"};
  for (int value = 1; value <= 8; ++value) EXPECT_EQ(turned(value), expected[value - 1]) << value;
  EXPECT_EQ(turned(0), expected[0]);
  EXPECT_EQ(turned(9), expected[0]);
}

}  // namespace
}  // namespace glmocr
