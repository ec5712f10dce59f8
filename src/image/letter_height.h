// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <optional>

#include "glmocr/image.h"

namespace glmocr {

// An estimate of the height of a picture's letters, from the top of a capital to the bottom of a descender,
// in pixels; nullopt where too little of it looks like print. Within 20 % for two pictures in three. Equal to
// the result of train/letters.py, so the accuracy measured there applies here.
std::optional<double> estimate_letter_height(const Image& image);

// The same for bounds that must not be too low because there are rules or a few large letters: thin strokes do not count,
// and it is at most what the median of the strokes suggests.
std::optional<double> cautious_letter_height(const Image& image);

}  // namespace glmocr
