// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "formats/characters.h"

namespace glmocr::formats {

// Whether a word goes on in the text that follows: it ends with a hyphen behind a letter, or with a soft hyphen.
bool ends_inside_word(TextView text);

// Whether a text may be the rest of a word: it begins with a lower-case letter.
bool begins_inside_word(TextView text);

// Appends what follows a line end. A word that was divided is put together: without its hyphen, unless it is a compound by
// its first part ("state-of-the-" + "art", "self-" + "contained"), or the second part is not in lower case ("Jean-" +
// "Paul"). Else a blank is put between, but not between letters of Chinese or Japanese.
void append_line(Text& text, TextView line);

// All lines of a text as one.
Text on_one_line(TextView text);

}  // namespace glmocr::formats
