// SPDX-License-Identifier: Apache-2.0
#include <iostream>
#include <iterator>

#include "base/error.h"
#include "base/mapped_file.h"
#include "glmocr/image.h"
#include "image/decode.h"

namespace glmocr {

Image decode_image_bytes(std::span<const std::byte> bytes, const std::string& name,
                         const ImageOptions& options, std::vector<std::string>* warnings) {
  DecodedImage decoded = decode_image(bytes, name, {options.max_pixels, options.background});
  if (warnings) warnings->insert(warnings->end(), decoded.warnings.begin(), decoded.warnings.end());
  return std::move(decoded.image);
}

Image load_image(const std::string& path, const ImageOptions& options, std::vector<std::string>* warnings) {
  if (path == "-") {
    const std::string content{std::istreambuf_iterator<char>(std::cin), std::istreambuf_iterator<char>()};
    return decode_image_bytes(std::as_bytes(std::span(content)), "standard input", options, warnings);
  }
  // Read, not mapped: a file that shrinks while it is decoded must not end the process.
  const std::string content = read_file(path);
  return decode_image_bytes(std::as_bytes(std::span(content)), path, options, warnings);
}

}  // namespace glmocr
