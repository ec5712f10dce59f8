// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <stdexcept>
#include <string>
#include <string_view>

namespace glmocr::cli {

// Thrown when nobody reads standard output any more: the program ends without a word.
struct OutputClosed {};

// An answer that cannot be written: a full disk, a folder without permission. Ends the program with 1.
struct OutputError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// Gives the numbers 0, 1 and 2 to /dev/null where the caller closed them, so that no file of ours gets one.
void keep_standard_streams_open();

// Writes all of `text` to standard output, at once. Throws OutputClosed or OutputError.
void write_standard_output(std::string_view text);

// Standard input to its end.
std::string read_standard_input();

}  // namespace glmocr::cli
