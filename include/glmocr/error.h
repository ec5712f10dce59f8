// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <stdexcept>
#include <string>
#include <string_view>

namespace glmocr {

// What went wrong, seen from the caller. The exit codes of the program derive from it (exit_code).
enum class ErrorCode {
  usage,      // a call or a command line that cannot be obeyed
  input,      // a picture, prompt or schema that cannot be read
  model,      // a snapshot that cannot be used: config, tokenizer, index, tensors
  memory,     // a request that does not fit the memory it may use
  device,     // a device that does not exist or cannot be opened
  cancelled,  // stopped by the caller
  internal,   // our own bug
};

std::string_view to_string(ErrorCode code);

// The one exception type of the library. The message names the file, tensor, key or offset, what was found
// and what was expected.
class Error : public std::runtime_error {
 public:
  Error(ErrorCode code, const std::string& message) : std::runtime_error(message), code_(code) {}
  ErrorCode code() const { return code_; }

 private:
  ErrorCode code_;
};

}  // namespace glmocr
