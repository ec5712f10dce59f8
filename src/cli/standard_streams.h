// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <stdexcept>
#include <string>
#include <string_view>

namespace glmocr::cli {

// Thrown when standard output is closed by its reader: the program ends without a message.
struct OutputClosed {};

// Thrown when a result cannot be written: a full disk, a folder without permission. The exit code is then 1.
struct OutputError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// Opens /dev/null as file descriptor 0, 1 or 2 where the caller closed it, so that no other file gets that
// number.
void keep_standard_streams_open();

// Writes all of `text` to standard output, unbuffered, waiting where it is non-blocking. Throws OutputClosed
// or OutputError.
void write_standard_output(std::string_view text);

// Standard input up to its end. Throws Error{memory} where it has more than kLongestText bytes.
std::string read_standard_input();

}  // namespace glmocr::cli
