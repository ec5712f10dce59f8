// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstddef>
#include <string>
#include <string_view>

namespace glmocr {

inline constexpr char32_t kReplacementCharacter = 0xFFFD;

// Offset of the first byte that is not well-formed UTF-8 (Unicode 14, table 3-7), or npos.
std::size_t find_invalid_utf8(std::string_view text);

void append_utf8(std::string& out, char32_t code_point);

// Code points of well-formed UTF-8. Throws Error{input} with the byte offset otherwise.
std::u32string decode_utf8(std::string_view text);

// Replaces every maximal ill-formed part by U+FFFD, as Rust's and Python's lossy decoders do.
std::string to_valid_utf8(std::string_view bytes);

// Turns a stream of bytes into a stream of well-formed UTF-8: holds back a tail that may still become a
// character, replaces what never can by U+FFFD.
class Utf8Stream {
 public:
  std::string push(std::string_view bytes);
  std::string finish();

 private:
  std::string pending_;
};

}  // namespace glmocr
