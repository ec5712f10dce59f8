// SPDX-License-Identifier: Apache-2.0
#include "models/pre_tokenizer.h"

namespace glmocr {
namespace {

constexpr std::string_view kGpt2Pattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

}  // namespace

PreTokenizer::PreTokenizer(const PreTokenizerConfig& config, const std::string& where) {
  for (const PreTokenizerConfig::Split& split : config.splits) {
    steps_.push_back({false, Regex(split.pattern, split.syntax, where)});
  }
  Step byte_level{config.add_prefix_space, std::nullopt};
  if (config.use_regex) byte_level.regex.emplace(kGpt2Pattern, Regex::Syntax::pattern, where);
  steps_.push_back(std::move(byte_level));
}

void PreTokenizer::split_from(std::size_t step, std::string_view text, const Take& take) const {
  if (text.empty()) return;
  if (step == steps_.size()) return take(text);

  std::string prefixed;
  if (steps_[step].add_prefix_space && !text.starts_with(' ')) {
    prefixed = ' ' + std::string(text);
    text = prefixed;
  }
  if (!steps_[step].regex) return split_from(step + 1, text, take);
  steps_[step].regex->for_each_piece(text,
                                     [&](std::string_view piece) { split_from(step + 1, piece, take); });
}

}  // namespace glmocr
