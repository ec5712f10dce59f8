// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <span>

namespace glmocr {

// The orientation (tag 0x0112 of the first directory) in an EXIF block: a TIFF header and directory, with or
// without "Exif\0\0" before it. 1 where the block holds none or is damaged.
int exif_orientation(std::span<const std::uint8_t> block);

}  // namespace glmocr
