// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "models/glm_ocr/preprocess.h"
#include "models/tokenizer.h"

namespace glmocr {

// Three-axis rotary positions (M-RoPE) of a prompt: temporal, height and width, one of each per token.
struct MropePositions {
  std::vector<std::int32_t> temporal, height, width;  // [tokens] each
  std::int32_t delta = 0;  // a generated token at sequence index s has position s + delta on every axis

  std::int64_t size() const { return std::ssize(temporal); }
  void append(std::int32_t t, std::int32_t h, std::int32_t w);
};

// The positions of a prompt, as in transformers' get_rope_index of Glm4v. Throws Error{input} when the image
// tokens of the prompt and the grids do not match.
MropePositions mrope_positions(std::span<const TokenId> ids, TokenId image_token_id,
                               std::span<const GridTHW> grids, int merge_size);

}  // namespace glmocr
