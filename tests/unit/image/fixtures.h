// SPDX-License-Identifier: Apache-2.0
// The pictures of tests/data and the results that tools/make_pictures.py wrote for them; it describes the
// lists.
#pragma once
#include <array>
#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/mapped_file.h"
#include "glmocr/image.h"
#include "image/decode.h"

namespace glmocr {

inline std::filesystem::path data_path(const std::string& name) {
  return std::filesystem::path(GLMOCR_TEST_DATA) / name;
}

inline nlohmann::json read_list(const std::string& name) {
  return nlohmann::json::parse(read_file(data_path(name)));
}

inline std::span<const std::byte> as_bytes(const std::string& text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}

// A picture file of tests/data, decoded.
inline Image read_picture(const std::string& name) {
  const std::string bytes = read_file(data_path(name));
  return decode_image(as_bytes(bytes), name).image;
}

// The CRC-32 of zlib and PNG.
inline std::uint32_t crc32(std::span<const std::uint8_t> bytes) {
  static const auto table = [] {
    std::array<std::uint32_t, 256> entries{};
    for (std::uint32_t i = 0; i < 256; ++i) {
      std::uint32_t value = i;
      for (int bit = 0; bit < 8; ++bit) value = value & 1 ? 0xedb88320u ^ value >> 1 : value >> 1;
      entries[i] = value;
    }
    return entries;
  }();
  std::uint32_t crc = 0xffffffffu;
  for (const std::uint8_t byte : bytes) crc = table[(crc ^ byte) & 0xff] ^ crc >> 8;
  return ~crc;
}

inline std::uint32_t crc32(std::string_view text) {
  return crc32({reinterpret_cast<const std::uint8_t*>(text.data()), text.size()});
}

inline std::int64_t byte_sum(std::span<const std::uint8_t> bytes) {
  std::int64_t sum = 0;
  for (const std::uint8_t byte : bytes) sum += byte;
  return sum;
}

// The picture of noise that resize.json describes.
inline Image noise_image(int width, int height) {
  Image image{width, height, std::vector<std::uint8_t>(static_cast<std::size_t>(width) * height * 3)};
  std::uint32_t state = 65536u * static_cast<std::uint32_t>(height) + static_cast<std::uint32_t>(width);
  for (std::uint8_t& byte : image.rgb) {
    state = state * 1664525u + 1013904223u;
    byte = static_cast<std::uint8_t>(state >> 24);
  }
  return image;
}

}  // namespace glmocr
