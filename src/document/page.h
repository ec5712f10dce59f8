// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "glmocr/glmocr.h"

namespace glmocr {

// One input and what was read from it.
struct Page {
  std::string file;  // as it was given; "-" is standard input
  int width = 0, height = 0;
  double load_ms = 0;          // loading the model, the same for all pages; set by the caller
  double decode_image_ms = 0;  // reading and decoding the picture
  std::vector<std::string> warnings;
  Result result;                   // where there is no error
  std::vector<TokenEvent> events;  // the tokens of the result, where they were asked for
  std::optional<Error> error;
};

// What messages call an input.
inline std::string display_name(const std::string& file) { return file == "-" ? "standard input" : file; }

}  // namespace glmocr
