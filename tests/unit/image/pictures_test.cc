// SPDX-License-Identifier: Apache-2.0
// Every picture of tests/data/pictures decodes to the same bytes as with Pillow; every one of
// tests/data/broken is refused.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "glmocr/error.h"
#include "image/decode.h"
#include "unit/image/fixtures.h"

namespace glmocr {
namespace {

std::string pillow_name(const std::string& format) {
  if (format == "WebP") return "WEBP";
  return format == "PNM" ? "PPM" : format;
}

TEST(Pictures, DecodeAsPillow) {
  const nlohmann::json list = read_list("pictures/expected.json");
  ASSERT_GE(list.at("pictures").size(), 50u);
  for (const nlohmann::json& entry : list.at("pictures")) {
    const std::string file = entry.at("file");
    SCOPED_TRACE(file);
    const std::string bytes = read_file(data_path("pictures/" + file));
    const DecodedImage decoded = decode_image(as_bytes(bytes), file);
    EXPECT_EQ(pillow_name(decoded.format), entry.at("format").get<std::string>());
    EXPECT_EQ(decoded.image.width, entry.at("width").get<int>());
    EXPECT_EQ(decoded.image.height, entry.at("height").get<int>());
    EXPECT_EQ(crc32(decoded.image.rgb), entry.at("rgb").at("crc32").get<std::uint32_t>());
    EXPECT_EQ(byte_sum(decoded.image.rgb), entry.at("rgb").at("sum").get<std::int64_t>());
    EXPECT_EQ(decoded.warnings.empty(), file != "only_alpha.png");
  }
}

// Parts of the message by kind of damage; "ratio" is an undamaged picture that only preprocessing refuses.
std::string expected_words(const std::string& kind, const std::string& file) {
  if (kind == "empty") return "empty file";
  if (kind == "unknown format") return "not a picture";
  if (kind == "too large") return file == "huge.ppm" ? "more than 10 digits" : "exceeds the limit";
  return "";
}

TEST(Pictures, BrokenOnesAreRefused) {
  const nlohmann::json list = read_list("broken/expected.json");
  ASSERT_GE(list.at("files").size(), 25u);
  for (const nlohmann::json& entry : list.at("files")) {
    const std::string file = entry.at("file");
    const std::string kind = entry.at("kind");
    SCOPED_TRACE(file);
    const std::string bytes = read_file(data_path("broken/" + file));
    if (kind == "ratio") {
      EXPECT_NO_THROW(decode_image(as_bytes(bytes), file));
      continue;
    }
    try {
      decode_image(as_bytes(bytes), file);
      ADD_FAILURE() << "was read";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::input);
      EXPECT_THAT(error.what(), testing::StartsWith(file + ": "));
      EXPECT_THAT(error.what(), testing::HasSubstr(expected_words(kind, file)));
      EXPECT_GT(std::string(error.what()).size(), file.size() + 10) << "says nothing";
    }
  }
}

}  // namespace
}  // namespace glmocr
