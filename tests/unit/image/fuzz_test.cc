// SPDX-License-Identifier: Apache-2.0
// Damaged pictures: whatever the bytes, a decoder returns a picture or throws Error{input}. Deterministic;
// most useful under the address and undefined-behaviour sanitizers. GLMOCR_FUZZ_ROUNDS raises the number of
// rounds.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <map>

#include "glmocr/error.h"
#include "image/decode.h"
#include "unit/image/fixtures.h"

namespace glmocr {
namespace {

constexpr int kRounds = 300;  // for each picture
constexpr std::size_t kLargestFile = 64 << 10;

class Random {
 public:
  std::uint32_t below(std::size_t bound) {
    state_ = state_ * 6364136223846793005u + 1442695040888963407u;
    return static_cast<std::uint32_t>((state_ >> 33) % bound);
  }

 private:
  std::uint64_t state_ = 20240229;
};

// Changes bytes, more often in the first 64, where the headers are; sometimes truncates the file, or repeats
// or removes a part.
std::string damaged(std::string bytes, Random& random) {
  const std::uint32_t flips = 1 + random.below(6);
  for (std::uint32_t i = 0; i < flips; ++i) {
    const std::size_t range = random.below(2) == 0 ? std::min<std::size_t>(bytes.size(), 64) : bytes.size();
    static constexpr std::uint8_t kEdges[] = {0x00, 0x01, 0x7f, 0x80, 0xff};
    char& byte = bytes[random.below(range)];
    byte = static_cast<char>(random.below(2) == 0 ? random.below(256) : kEdges[random.below(5)]);
  }
  const std::size_t at = random.below(bytes.size());
  switch (random.below(8)) {
    case 0:
      bytes.resize(at);
      break;
    case 1:
      bytes.erase(at, random.below(16));
      break;
    case 2:
      bytes.insert(at, bytes.substr(random.below(bytes.size()), random.below(32)));
      break;
    default:
      break;
  }
  return bytes;
}

// Makes the checksums of a PNG file's chunks right again, as far as its lengths can be followed: otherwise
// nearly every change ends at the check of its chunk and reaches no decoder.
std::string with_repaired_checksums(std::string bytes) {
  const auto byte = [&](std::size_t at) { return std::uint32_t{static_cast<unsigned char>(bytes[at])}; };
  for (std::size_t at = 8; at + 12 <= bytes.size();) {
    const std::size_t length = byte(at) << 24 | byte(at + 1) << 16 | byte(at + 2) << 8 | byte(at + 3);
    if (length > bytes.size() - at - 12) break;
    const std::uint32_t sum = crc32(std::string_view(bytes).substr(at + 4, length + 4));
    for (int i = 0; i < 4; ++i) bytes[at + 8 + length + i] = static_cast<char>(sum >> (24 - 8 * i) & 0xff);
    at += length + 12;
  }
  return bytes;
}

int rounds() {
  const char* wanted = std::getenv("GLMOCR_FUZZ_ROUNDS");
  return wanted != nullptr ? std::atoi(wanted) : kRounds;
}

TEST(Fuzz, DamagedPicturesGiveErrorsNotCrashes) {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(data_path("pictures"))) {
    if (entry.path().extension() != ".json" && entry.file_size() <= kLargestFile)
      files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  ASSERT_GE(files.size(), 40u);

  ImageOptions options;
  options.max_pixels = 1 << 18;
  Random random;
  std::map<std::string, int> outcomes;
  int checksum_errors = 0, other_errors_of_pngs = 0;
  for (const std::filesystem::path& file : files) {
    const std::string sound = read_file(file);
    for (int round = 0; round < rounds(); ++round) {
      std::string bytes = damaged(sound, random);
      const bool repaired = file.extension() == ".png" && round % 8 != 0;
      if (repaired) bytes = with_repaired_checksums(std::move(bytes));
      try {
        const DecodedImage decoded = decode_image(as_bytes(bytes), "fuzz", options);
        ASSERT_EQ(decoded.image.rgb.size(), std::size_t(decoded.image.width) * decoded.image.height * 3);
        ++outcomes["read"];
      } catch (const Error& error) {
        ASSERT_TRUE(error.code() == ErrorCode::input || error.code() == ErrorCode::memory) << error.what();
        ++outcomes["refused"];
        if (repaired) {
          const bool checksum = std::string(error.what()).find("CRC") != std::string::npos;
          ++(checksum ? checksum_errors : other_errors_of_pngs);
        }
      }
    }
  }
  EXPECT_GT(outcomes["read"], 0);
  EXPECT_GT(outcomes["refused"], 0);
  // A checksum stays wrong where the length of its chunk leads out of the file.
  EXPECT_LT(10 * checksum_errors, other_errors_of_pngs);
}

}  // namespace
}  // namespace glmocr
