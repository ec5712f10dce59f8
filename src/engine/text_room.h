// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <span>

#include "engine/repetition.h"
#include "models/glm_ocr/preprocess.h"

namespace glmocr::engine {

// A generous estimate of how much text the pictures together have room for, from the height of their letters and the
// parts of them that are not blank. Where the height is not known, letters are taken to be half a patch high. Without
// pictures there is no bound.
TextRoom text_room(std::span<const PreprocessedImage> images, int patch_size);

}  // namespace glmocr::engine
