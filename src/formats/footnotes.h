// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <vector>

#include "formats/blocks.h"
#include "formats/characters.h"

namespace glmocr::formats {

// Links the footnotes among the blocks of a page with the first place that refers to them: "$^{1}$", "¹", "<sup>1</sup>",
// "†", or "[1]" if the note begins so. The reference becomes "[^n]", the note loses its mark, both get the number n, counted
// from `last` + 1 on. A note whose mark is not found stays as it is. Returns the last number given.
int link_footnotes(std::vector<Block>& blocks, int last);

// The name of the note that a line begins: digits, a letter or a symbol; empty: it begins none.
Text note_name(TextView line);

}  // namespace glmocr::formats
