// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include "base/error.h"
#include "base/mapped_file.h"
#include "glmocr/image.h"
#include "image/decode.h"

namespace glmocr {

namespace {

constexpr const char* kStandardInput = "standard input";

Image without_warnings(DecodedImage decoded, std::vector<std::string>* warnings) {
  if (warnings) warnings->insert(warnings->end(), decoded.warnings.begin(), decoded.warnings.end());
  return std::move(decoded.image);
}

}  // namespace

std::string read_picture(const std::string& path, std::int64_t most) {
  try {
    return path == "-" ? read_descriptor(STDIN_FILENO, kStandardInput, most) : read_file(path, most);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::memory) throw;
    fail(error.code(), cat(error.what(), " of a picture (picture_memory)"));
  }
}

DecodedImage decode_file(const std::string& path, const ImageOptions& options, const SizeCallback& on_size) {
  const std::string content = read_picture(path, options.picture_memory);
  return decode_image(std::as_bytes(std::span(content)), path == "-" ? kStandardInput : path, options,
                      on_size);
}

Image decode_image_bytes(std::span<const std::byte> bytes, const std::string& name,
                         const ImageOptions& options, std::vector<std::string>* warnings) {
  return without_warnings(decode_image(bytes, name, options), warnings);
}

Image load_image(const std::string& path, const ImageOptions& options, std::vector<std::string>* warnings) {
  return without_warnings(decode_file(path, options), warnings);
}

}  // namespace glmocr
