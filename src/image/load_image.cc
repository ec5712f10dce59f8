// SPDX-License-Identifier: Apache-2.0
#include <iostream>
#include <iterator>

#include "base/error.h"
#include "base/mapped_file.h"
#include "glmocr/image.h"
#include "image/decode.h"

namespace glmocr {

namespace {

Image without_warnings(DecodedImage decoded, std::vector<std::string>* warnings) {
  if (warnings) warnings->insert(warnings->end(), decoded.warnings.begin(), decoded.warnings.end());
  return std::move(decoded.image);
}

}  // namespace

DecodedImage decode_file(const std::string& path, const ImageOptions& options, const SizeCallback& on_size) {
  const bool standard_input = path == "-";
  const std::string content =
      standard_input ? std::string{std::istreambuf_iterator<char>(std::cin), std::istreambuf_iterator<char>()}
                     : read_file(path);
  return decode_image(std::as_bytes(std::span(content)), standard_input ? "standard input" : path, options,
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
