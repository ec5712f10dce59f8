// SPDX-License-Identifier: Apache-2.0
// Texts as code points, and what Python's str does with them: lengths and classes of characters count code points.
#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace glmocr::formats {

using Text = std::u32string;
using TextView = std::u32string_view;

// What is not UTF-8 becomes U+FFFD.
Text to_text(std::string_view utf8);
std::string to_utf8(TextView text);

inline bool is_ascii_letter(char32_t c) { return (c >= U'a' && c <= U'z') || (c >= U'A' && c <= U'Z'); }

// Without the blanks (is_space) at the beginning, at the end, at both.
TextView left_stripped(TextView text);
TextView right_stripped(TextView text);
TextView stripped(TextView text);

// The parts between the separators, at least one.
std::vector<TextView> split(TextView text, char32_t separator);

// The first and the last word, words being what blanks separate; empty where there is none.
TextView first_word(TextView text);
TextView last_word(TextView text);

}  // namespace glmocr::formats
