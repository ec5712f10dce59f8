// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "glmocr/types.h"
#include "models/glm_ocr/config.h"
#include "models/glm_ocr/positions.h"

namespace glmocr {

// Task texts that the published model was trained on.
inline constexpr const char* kTextPrompt = "Text Recognition:";
inline constexpr const char* kTablePrompt = "Table Recognition:";
inline constexpr const char* kFormulaPrompt = "Formula Recognition:";
// Followed by a newline and a JSON template whose values are empty strings.
inline constexpr const char* kExtractPrompt = "请按下列JSON格式输出图中信息:";

// The prompt of a task: see glmocr/types.h.
std::string task_prompt(Task task, const std::string& schema);

// A prompt as the decoder reads it.
struct Prompt {
  std::vector<TokenId> ids;  // with one image token per row of picture features
  MropePositions positions;
  std::int64_t image_tokens = 0;
};

// A part of a user's turn: a picture or some text.
struct PromptPart {
  std::optional<GridTHW> image;
  std::string text;
};

// One user turn in the chat template, its parts in the given order:
//   [gMASK]<sop><|user|>⏎ … <|begin_of_image|><|image|>…<|end_of_image|> … text … <|assistant|>⏎
// Text never becomes a control token unless `added_tokens` is `match`. Throws Error{input} where text is not
// UTF-8.
Prompt build_prompt(const GlmOcrConfig& config, const Tokenizer& tokenizer, std::span<const PromptPart> parts,
                    AddedTokens added_tokens = AddedTokens::ignore);

// The usual turn: the pictures first, then the text.
Prompt build_prompt(const GlmOcrConfig& config, const Tokenizer& tokenizer, std::span<const GridTHW> grids,
                    const std::string& text, AddedTokens added_tokens = AddedTokens::ignore);

}  // namespace glmocr
