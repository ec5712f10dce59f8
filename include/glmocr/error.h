// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <stdexcept>
#include <string>
#include <string_view>

#include "glmocr/export.h"

namespace glmocr {

// What went wrong, as the caller sees it. Each code has an exit code of the program.
enum class ErrorCode {
  usage,      // an invalid call, option or command line
  input,      // a picture, prompt or schema that cannot be read, an output that cannot be written
  model,      // a snapshot that cannot be used, or whose results are not finite
  memory,     // a request or model that does not fit the memory it may use
  device,     // a device that does not exist, cannot be opened or is lost; a thread that cannot be started
  busy,       // too much is waiting already: try again later
  cancelled,  // stopped by the caller
  internal,   // a bug in this library
};

GLMOCR_API std::string_view to_string(ErrorCode code);

// The library's only exception type. The message names the file, tensor, key or offset, what was found and
// what was expected.
class GLMOCR_API Error : public std::runtime_error {
 public:
  Error(ErrorCode code, const std::string& message) : std::runtime_error(message), code_(code) {}
  ErrorCode code() const { return code_; }

 private:
  ErrorCode code_;
};

}  // namespace glmocr
