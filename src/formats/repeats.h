// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstddef>
#include <optional>

#include "formats/characters.h"

namespace glmocr::formats {

struct Repeat {
  std::size_t begin;  // of the first unit
  std::size_t unit;   // its length
};

// The leftmost place at which a unit of 10 to n/10 characters, n being the length of the text, occurs ten times or more in
// a row; of the units at that place the shortest. What the regular expression of the SDK finds (find_consecutive_repeat),
// in O(n log n).
std::optional<Repeat> find_repeat(TextView text);

// The SDK's clean_repeated_content: cut behind the first unit of such a repeat, else behind the first of three equal lines
// in a row, if these are 80 % of the lines and at least ten.
Text without_repeats(TextView text);

}  // namespace glmocr::formats
