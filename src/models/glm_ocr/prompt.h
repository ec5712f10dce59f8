// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "models/glm_ocr/config.h"
#include "models/glm_ocr/positions.h"

namespace glmocr {

// A prompt as the decoder reads it.
struct Prompt {
  std::vector<TokenId> ids;  // image tokens already repeated to their number
  MropePositions positions;
  std::int64_t image_tokens = 0;
};

// A part of a user's turn: a picture or some text.
struct PromptPart {
  std::optional<GridTHW> image;
  std::string text;
};

// The chat template's text for one user turn, its parts in the given order (reference 5.2):
//   [gMASK]<sop><|user|>⏎ … <|begin_of_image|><|image|>…<|end_of_image|> … text … <|assistant|>⏎
// Text never becomes a control token unless `added_tokens` says match. Throws Error{input}.
Prompt build_prompt(const GlmOcrConfig& config, const Tokenizer& tokenizer, std::span<const PromptPart> parts,
                    AddedTokens added_tokens = AddedTokens::ignore);

// The usual turn: the pictures first, then the text.
Prompt build_prompt(const GlmOcrConfig& config, const Tokenizer& tokenizer, std::span<const GridTHW> grids,
                    const std::string& text, AddedTokens added_tokens = AddedTokens::ignore);

// Task texts the published model was trained on.
inline constexpr const char* kTextPrompt = "Text Recognition:";
inline constexpr const char* kTablePrompt = "Table Recognition:";
inline constexpr const char* kFormulaPrompt = "Formula Recognition:";
// Followed by a newline and a JSON template with empty strings.
inline constexpr const char* kExtractPrompt = "请按下列JSON格式输出图中信息:";

}  // namespace glmocr
