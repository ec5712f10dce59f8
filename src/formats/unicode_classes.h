// SPDX-License-Identifier: Apache-2.0
// Classes of characters as Python 3.11 has them (Unicode 14): the official formatter is written with str.isspace and so on.
// The tables come from tools/make_unicode_tables.py.
#pragma once

namespace glmocr::formats {

bool is_space(char32_t c);    // str.isspace, \s
bool is_decimal(char32_t c);  // str.isdecimal, \d
bool is_alnum(char32_t c);    // str.isalnum
bool is_lower(char32_t c);    // str.islower
bool is_upper(char32_t c);    // str.isupper
bool is_wide(char32_t c);     // East Asian width W or F: takes two columns; CJK is written without blanks

}  // namespace glmocr::formats
