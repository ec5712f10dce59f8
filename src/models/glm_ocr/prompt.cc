// SPDX-License-Identifier: Apache-2.0
#include "models/glm_ocr/prompt.h"

#include "base/json.h"

namespace glmocr {

std::string task_prompt(Task task, const std::string& schema) {
  switch (task) {
    case Task::text:
      return kTextPrompt;
    case Task::table:
      return kTablePrompt;
    case Task::formula:
      return kFormulaPrompt;
    case Task::extract:
      break;
  }
  if (schema.empty()) {
    fail(ErrorCode::input, "task extract needs a schema: a JSON template with empty strings");
  }
  parse_json(schema, "schema", ErrorCode::input);
  return cat(kExtractPrompt, "\n", schema);
}

Prompt build_prompt(const GlmOcrConfig& config, const Tokenizer& tokenizer, std::span<const PromptPart> parts,
                    AddedTokens added_tokens) {
  Prompt prompt;
  std::vector<GridTHW> grids;
  const auto control = [&](const char* token) {
    const auto id = tokenizer.token_to_id(token);
    GLMOCR_CHECK(id.has_value());  // check_special_tokens
    prompt.ids.push_back(*id);
  };
  const auto plain = [&](const std::string& text, AddedTokens match) {
    const std::vector<TokenId> ids = tokenizer.encode(text, match);
    prompt.ids.insert(prompt.ids.end(), ids.begin(), ids.end());
  };
  control("[gMASK]");
  control("<sop>");
  control("<|user|>");
  plain("\n", AddedTokens::ignore);
  for (const PromptPart& part : parts) {
    if (!part.image) {
      plain(part.text, added_tokens);
      continue;
    }
    const std::int64_t tokens = part.image->tokens(config.preprocess.merge_size);
    prompt.ids.push_back(config.image_start_token_id);
    prompt.ids.insert(prompt.ids.end(), tokens, config.image_token_id);
    prompt.ids.push_back(config.image_end_token_id);
    prompt.image_tokens += tokens;
    grids.push_back(*part.image);
  }
  control("<|assistant|>");
  plain("\n", AddedTokens::ignore);
  prompt.positions = mrope_positions(prompt.ids, config.image_token_id, grids, config.preprocess.merge_size);
  return prompt;
}

Prompt build_prompt(const GlmOcrConfig& config, const Tokenizer& tokenizer, std::span<const GridTHW> grids,
                    const std::string& text, AddedTokens added_tokens) {
  std::vector<PromptPart> parts;
  for (const GridTHW& grid : grids) parts.push_back({grid, ""});
  parts.push_back({std::nullopt, text});
  return build_prompt(config, tokenizer, parts, added_tokens);
}

}  // namespace glmocr
