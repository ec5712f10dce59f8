// SPDX-License-Identifier: Apache-2.0
#include "models/byte_level.h"

#include <array>
#include <cstdint>

#include "base/utf8.h"

namespace glmocr {
namespace {

constexpr char32_t kAlphabetEnd = 0x144;  // one past the last character of the alphabet

struct Alphabet {
  std::array<char32_t, 256> character_of_byte{};
  std::array<std::int16_t, kAlphabetEnd> byte_of_character{};  // -1: not in the alphabet
};

constexpr bool is_its_own_code_point(int byte) {
  return (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
}

constexpr Alphabet make_alphabet() {
  Alphabet alphabet;
  for (std::int16_t& byte : alphabet.byte_of_character) byte = -1;
  char32_t next = 0x100;
  for (int byte = 0; byte < 256; ++byte) {
    const char32_t character = is_its_own_code_point(byte) ? static_cast<char32_t>(byte) : next++;
    alphabet.character_of_byte[byte] = character;
    alphabet.byte_of_character[character] = byte;
  }
  return alphabet;
}

constexpr Alphabet kAlphabet = make_alphabet();

}  // namespace

std::string to_byte_alphabet(std::string_view bytes) {
  std::string token;
  token.reserve(bytes.size());
  for (const char byte : bytes)
    append_utf8(token, kAlphabet.character_of_byte[static_cast<std::uint8_t>(byte)]);
  return token;
}

std::string from_byte_alphabet(std::string_view token) {
  std::string bytes;
  for (const char32_t character : decode_utf8(token)) {
    const int byte = character < kAlphabetEnd ? kAlphabet.byte_of_character[character] : -1;
    if (byte < 0) return std::string(token);
    bytes.push_back(byte);
  }
  return bytes;
}

}  // namespace glmocr
