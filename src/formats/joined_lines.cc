// SPDX-License-Identifier: Apache-2.0
#include "formats/joined_lines.h"

#include <algorithm>
#include <array>

#include "formats/unicode_classes.h"

namespace glmocr::formats {
namespace {

constexpr char32_t kSoftHyphen = 0xAD;

bool is_letter(char32_t c) { return is_alnum(c) && !is_decimal(c); }

bool ends_with_hyphen(TextView text) {
  return text.size() >= 2 && text.back() == U'-' && is_letter(text[text.size() - 2]);
}

// First parts of compounds. A word may be divided after them too ("low-er"), so the rest must be long.
bool makes_compound(TextView word, TextView rest) {
  constexpr std::array<TextView, 5> kFirstParts = {U"self", U"well", U"high", U"low", U"half"};
  constexpr std::size_t kShortestRest = 4;
  Text lower;
  for (const char32_t c : word) lower += c < 0x80 && is_upper(c) ? c + (U'a' - U'A') : c;
  return rest.size() >= kShortestRest &&
         std::find(kFirstParts.begin(), kFirstParts.end(), lower) != kFirstParts.end();
}

bool keeps_hyphen(TextView text, TextView line) {
  constexpr std::size_t kLongestWord = 64;  // of a longer one the end is looked at
  if (!begins_inside_word(line)) return true;
  TextView word = last_word(text.substr(text.size() - std::min(text.size(), kLongestWord)));
  word.remove_suffix(1);
  return word.find(U'-') != TextView::npos || makes_compound(word, first_word(line));
}

}  // namespace

bool ends_inside_word(TextView text) {
  text = right_stripped(text);
  return ends_with_hyphen(text) || text.ends_with(kSoftHyphen);
}

bool begins_inside_word(TextView text) {
  text = left_stripped(text);
  return !text.empty() && is_lower(text[0]);
}

void append_line(Text& text, TextView line) {
  line = stripped(line);
  text.resize(right_stripped(text).size());
  if (text.empty() || line.empty()) {
    text += line;
  } else if (text.back() == kSoftHyphen) {
    text.back() = line[0];
    text += line.substr(1);
  } else if (ends_with_hyphen(text)) {
    if (!keeps_hyphen(text, line)) text.pop_back();
    text += line;
  } else {
    if (!is_wide(text.back()) || !is_wide(line[0])) text += U' ';
    text += line;
  }
}

Text on_one_line(TextView text) {
  Text out;
  for (const TextView line : split(text, U'\n')) append_line(out, line);
  return out;
}

}  // namespace glmocr::formats
