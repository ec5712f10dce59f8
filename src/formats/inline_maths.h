// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstddef>
#include <vector>

#include "formats/characters.h"

namespace glmocr::formats {

// "$ body $" in a text: [begin, end) with the dollars.
struct InlineFormula {
  std::size_t begin, end;
  TextView body;  // stripped, not empty
};

enum class Dollars {
  sdk,      // as the SDK
  guarded,  // no formula where a digit follows: "$5 and $6"
};

// A formula begins at a dollar that follows none and ends at the next one that no backslash escapes, if no dollar follows
// it; they do not overlap. As the SDK's regular expression, in linear time.
std::vector<InlineFormula> inline_formulas(TextView text, Dollars dollars);

// The SDK's normalize_inline_formula: "$ x $" becomes "$x$", with a blank between it and a letter or digit beside it.
Text with_tight_formulas(TextView text, Dollars dollars);

}  // namespace glmocr::formats
