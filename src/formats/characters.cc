// SPDX-License-Identifier: Apache-2.0
#include "formats/characters.h"

#include "base/utf8.h"
#include "formats/unicode_classes.h"

namespace glmocr::formats {

Text to_text(std::string_view utf8) { return decode_utf8(to_valid_utf8(utf8)); }

std::string to_utf8(TextView text) {
  std::string utf8;
  utf8.reserve(text.size());
  for (const char32_t c : text) append_utf8(utf8, c);
  return utf8;
}

TextView left_stripped(TextView text) {
  std::size_t begin = 0;
  while (begin < text.size() && is_space(text[begin])) ++begin;
  return text.substr(begin);
}

TextView right_stripped(TextView text) {
  std::size_t end = text.size();
  while (end > 0 && is_space(text[end - 1])) --end;
  return text.substr(0, end);
}

TextView stripped(TextView text) { return left_stripped(right_stripped(text)); }

std::vector<TextView> split(TextView text, char32_t separator) {
  std::vector<TextView> parts;
  for (;;) {
    const std::size_t end = text.find(separator);
    parts.push_back(text.substr(0, end));
    if (end == TextView::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

TextView first_word(TextView text) {
  text = left_stripped(text);
  std::size_t end = 0;
  while (end < text.size() && !is_space(text[end])) ++end;
  return text.substr(0, end);
}

TextView last_word(TextView text) {
  text = right_stripped(text);
  std::size_t begin = text.size();
  while (begin > 0 && !is_space(text[begin - 1])) --begin;
  return text.substr(begin);
}

}  // namespace glmocr::formats
