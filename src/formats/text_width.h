// SPDX-License-Identifier: Apache-2.0
// How much room printed text takes, roughly: where words stand in a box that holds a text whose lines are not known.
#pragma once
#include <string_view>

#include "formats/characters.h"
#include "glmocr/region.h"

namespace glmocr::formats {

// In letters of medium width.
double text_width(TextView text);

// How many lines a text of this length takes in the box if it fills it, at least 1.
int estimated_lines(std::string_view text, const Box& box);

}  // namespace glmocr::formats
