// SPDX-License-Identifier: Apache-2.0
#include "cli/npy.h"

#include <bit>

#include "base/error.h"
#include "base/mapped_file.h"

namespace glmocr::cli {

static_assert(std::endian::native == std::endian::little,
              ".npy files are written in the byte order of memory");

std::string npy_bytes(std::span<const std::int64_t> shape, std::span<const float> values) {
  std::string sizes;
  for (const std::int64_t size : shape) sizes += cat(sizes.empty() ? "" : ", ", size);
  if (shape.size() == 1) sizes += ",";
  std::string header = cat("{'descr': '<f4', 'fortran_order': False, 'shape': (", sizes, "), }");

  // Magic, version and the header's length are 10 bytes; the data begins at a multiple of 64, after a
  // newline.
  constexpr std::size_t kPrefix = 10;
  header.append(63 - (kPrefix + header.size()) % 64, ' ');
  header += '\n';
  std::string bytes("\x93NUMPY\x01\x00", 8);
  bytes += static_cast<char>(header.size() & 0xFF);
  bytes += static_cast<char>(header.size() >> 8);
  bytes += header;
  bytes.append(reinterpret_cast<const char*>(values.data()), values.size_bytes());
  return bytes;
}

void write_npy(const std::filesystem::path& folder, const std::string& name,
               std::span<const std::int64_t> shape, std::span<const float> values) {
  write_file_atomically(folder / (name + ".npy"), npy_bytes(shape, values));
}

}  // namespace glmocr::cli
