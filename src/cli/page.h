// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "glmocr/glmocr.h"

namespace glmocr::cli {

// One input and what became of it.
struct Page {
  std::string file;  // as it was given
  int width = 0, height = 0;
  double load_ms = 0;          // of the model, the same for all pages
  double decode_image_ms = 0;  // reading and decoding the picture
  std::vector<std::string> warnings;
  Result result;                   // where there is no error
  std::vector<TokenEvent> events;  // the result's tokens, where they were asked for
  std::optional<Error> error;
};

// How messages call an input.
inline std::string display_name(const std::string& file) { return file == "-" ? "standard input" : file; }

}  // namespace glmocr::cli
