// SPDX-License-Identifier: Apache-2.0
#include "base/utf8.h"

#include <cstdint>

#include "base/error.h"

namespace glmocr {
namespace {

struct Step {
  enum Kind { character, ill_formed, incomplete } kind;
  std::size_t length;  // bytes of the character, or of the maximal ill-formed or incomplete part
  char32_t code_point;
};

// Reads one character, or one maximal ill-formed part, from the start of `text`, which is not empty.
Step next_step(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<std::uint8_t>(text[i]); };
  const std::uint8_t lead = byte(0);
  if (lead < 0x80) return {Step::character, 1, lead};
  const std::size_t length = lead >= 0xC2 && lead <= 0xDF   ? 2
                             : lead >= 0xE0 && lead <= 0xEF ? 3
                             : lead >= 0xF0 && lead <= 0xF4 ? 4
                                                            : 0;
  if (length == 0) return {Step::ill_formed, 1, 0};
  // After some lead bytes the range of the second byte is narrower: no overlong forms, no surrogates, nothing
  // beyond U+10FFFF.
  std::uint8_t low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
  std::uint8_t high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
  char32_t code_point = lead & (0xFF >> (length + 1));
  for (std::size_t i = 1; i < length; ++i) {
    if (i == text.size()) return {Step::incomplete, i, 0};
    if (byte(i) < low || byte(i) > high) return {Step::ill_formed, i, 0};
    code_point = code_point << 6 | (byte(i) & 0x3F);
    low = 0x80;
    high = 0xBF;
  }
  return {Step::character, length, code_point};
}

}  // namespace

std::size_t find_invalid_utf8(std::string_view text) {
  for (std::size_t at = 0; at < text.size();) {
    const Step step = next_step(text.substr(at));
    if (step.kind != Step::character) return at;
    at += step.length;
  }
  return std::string_view::npos;
}

void append_utf8(std::string& out, char32_t c) {
  const auto put = [&](char32_t byte) { out.push_back(static_cast<char>(byte)); };
  if (c < 0x80) {
    put(c);
  } else if (c < 0x800) {
    put(0xC0 | c >> 6);
    put(0x80 | (c & 0x3F));
  } else if (c < 0x10000) {
    put(0xE0 | c >> 12);
    put(0x80 | (c >> 6 & 0x3F));
    put(0x80 | (c & 0x3F));
  } else {
    put(0xF0 | c >> 18);
    put(0x80 | (c >> 12 & 0x3F));
    put(0x80 | (c >> 6 & 0x3F));
    put(0x80 | (c & 0x3F));
  }
}

std::u32string decode_utf8(std::string_view text) {
  std::u32string out;
  for (std::size_t at = 0; at < text.size();) {
    const Step step = next_step(text.substr(at));
    if (step.kind != Step::character) fail(ErrorCode::input, cat("text is not UTF-8 at byte ", at));
    out.push_back(step.code_point);
    at += step.length;
  }
  return out;
}

std::string to_valid_utf8(std::string_view bytes) {
  Utf8Stream stream;
  std::string out = stream.push(bytes);
  return out + stream.finish();
}

std::string Utf8Stream::push(std::string_view bytes) {
  pending_.append(bytes);
  std::string out;
  std::size_t at = 0;
  while (at < pending_.size()) {
    const Step step = next_step(std::string_view(pending_).substr(at));
    if (step.kind == Step::incomplete) break;
    if (step.kind == Step::character) {
      out.append(pending_, at, step.length);
    } else {
      append_utf8(out, kReplacementCharacter);
    }
    at += step.length;
  }
  pending_.erase(0, at);
  return out;
}

std::string Utf8Stream::finish() {
  std::string out;
  if (!pending_.empty()) append_utf8(out, kReplacementCharacter);
  pending_.clear();
  return out;
}

}  // namespace glmocr
