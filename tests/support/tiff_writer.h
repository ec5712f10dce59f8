// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace glmocr {

// A grey page of a TIFF file, of one value. `kind`: the tag NewSubfileType, 1 for a smaller version of another page.
struct TiffPage {
  std::uint32_t width = 2, height = 1;
  std::uint8_t value = 0;
  std::uint32_t kind = 0;
};

inline std::string little_endian(std::uint32_t value, int bytes) {
  std::string text;
  for (int i = 0; i < bytes; ++i) text += static_cast<char>(value >> (8 * i) & 0xff);
  return text;
}

// The directory of a page: `place` is where it begins in the file, `next` where the next one does, 0 for none.
inline std::string tiff_directory(const TiffPage& page, std::uint32_t place, std::uint32_t next) {
  const auto tag = [](std::uint32_t id, std::uint32_t value) {
    return little_endian(id, 2) + little_endian(4, 2) + little_endian(1, 4) + little_endian(value, 4);
  };
  const std::uint32_t pixels = place + 2 + 9 * 12 + 4;
  return little_endian(9, 2) + tag(254, page.kind) + tag(256, page.width) + tag(257, page.height) +
         tag(258, 8) + tag(259, 1) + tag(262, 1) + tag(273, pixels) + tag(278, page.height) +
         tag(279, page.width * page.height) + little_endian(next, 4);
}

// A file of these pages. The last directory names `after_last` as the next.
inline std::string tiff_of(const std::vector<TiffPage>& pages, std::uint32_t after_last = 0) {
  std::string file = "II\x2a" + std::string(1, '\0') + little_endian(8, 4);
  for (std::size_t i = 0; i < pages.size(); ++i) {
    const auto place = static_cast<std::uint32_t>(file.size());
    const std::uint32_t area = pages[i].width * pages[i].height;
    const std::uint32_t end = place + 2 + 9 * 12 + 4 + area;
    file += tiff_directory(pages[i], place, i + 1 < pages.size() ? end : after_last);
    file += std::string(area, static_cast<char>(pages[i].value));
  }
  return file;
}

}  // namespace glmocr
