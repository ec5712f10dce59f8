// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstddef>
#include <string>
#include <string_view>

namespace glmocr {

inline constexpr char32_t kReplacementCharacter = 0xFFFD;

// Offset of the first byte that is not part of well-formed UTF-8 (Unicode 14, table 3-7), or npos.
std::size_t find_invalid_utf8(std::string_view text);

void append_utf8(std::string& out, char32_t code_point);

// The code points of a text. Throws Error{input} with the byte offset where it is not well-formed UTF-8.
std::u32string decode_utf8(std::string_view text);

// Replaces every maximal ill-formed part with U+FFFD, as Rust's and Python's lossy decoders do.
std::string to_valid_utf8(std::string_view bytes);

// Turns a stream of bytes into a stream of well-formed UTF-8: keeps an incomplete character back until it is
// complete, and replaces bytes that cannot become one with U+FFFD.
class Utf8Stream {
 public:
  std::string push(std::string_view bytes);
  std::string finish();

 private:
  std::string pending_;
};

}  // namespace glmocr
