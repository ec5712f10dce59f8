// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <string>
#include <string_view>

namespace glmocr {

// GPT-2's alphabet, in which every byte is a printable character, so that pieces can be written in a JSON
// file. Bytes 33-126, 161-172 and 174-255 are the code points of the same number; the other 68, in increasing
// order, are U+0100, U+0101, ... (space is U+0120, newline U+010A).
std::string to_byte_alphabet(std::string_view bytes);

// The bytes that a token in this alphabet means. A token with a character outside of it means its own UTF-8,
// as in the ByteLevel decoder of Hugging Face tokenizers. `token` is well-formed UTF-8.
std::string from_byte_alphabet(std::string_view token);

}  // namespace glmocr
