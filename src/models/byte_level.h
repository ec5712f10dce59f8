// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <string>
#include <string_view>

namespace glmocr {

// The byte alphabet of GPT-2: every byte has a printable character, so that pieces can stand in a JSON file.
// Bytes 33-126, 161-172 and 174-255 stand for the code point of the same number; the other 68, in increasing
// order, for U+0100, U+0101, ... (space is U+0120, newline U+010A).
std::string to_byte_alphabet(std::string_view bytes);

// The bytes that a token stands for. A token with a character outside the alphabet stands for its own UTF-8,
// as in the ByteLevel decoder of Hugging Face tokenizers. `token` is well-formed UTF-8.
std::string from_byte_alphabet(std::string_view token);

}  // namespace glmocr
