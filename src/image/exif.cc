// SPDX-License-Identifier: Apache-2.0
#include "image/exif.h"

#include <algorithm>
#include <cstddef>

namespace glmocr {
namespace {

constexpr int kOrientationTag = 0x0112;
constexpr int kShort = 3;  // the TIFF type of 16-bit values
constexpr std::uint8_t kPrefix[] = {'E', 'x', 'i', 'f', 0, 0};

// Reads integers of either byte order; past the end they are 0.
struct BlockReader {
  std::span<const std::uint8_t> block;
  bool big_endian;

  std::uint32_t u16(std::size_t at) const {
    if (at > block.size() || block.size() - at < 2) return 0;
    return big_endian ? block[at] << 8 | block[at + 1] : block[at + 1] << 8 | block[at];
  }
  std::uint32_t u32(std::size_t at) const {
    return big_endian ? u16(at) << 16 | u16(at + 2) : u16(at + 2) << 16 | u16(at);
  }
};

}  // namespace

int exif_orientation(std::span<const std::uint8_t> block) {
  if (block.size() >= 6 && std::equal(kPrefix, kPrefix + 6, block.begin())) block = block.subspan(6);
  if (block.size() < 8 || block[0] != block[1] || (block[0] != 'I' && block[0] != 'M')) return 1;
  const BlockReader reader{block, block[0] == 'M'};
  const std::size_t directory = reader.u32(4);
  const std::uint32_t entries = reader.u16(directory);
  for (std::uint32_t i = 0; i < entries; ++i) {
    const std::size_t entry = directory + 2 + 12 * std::size_t{i};
    if (reader.u16(entry) != kOrientationTag) continue;
    const std::uint32_t value = reader.u16(entry + 2) == kShort ? reader.u16(entry + 8) : 1;
    return value >= 1 && value <= 8 ? value : 1;
  }
  return 1;
}

}  // namespace glmocr
