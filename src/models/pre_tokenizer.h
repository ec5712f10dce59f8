// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "models/regex.h"

namespace glmocr {

// What tokenizer.json specifies: any number of Split steps (behaviour Isolated), then one ByteLevel step.
struct PreTokenizerConfig {
  struct Split {
    std::string pattern;
    Regex::Syntax syntax;
  };
  std::vector<Split> splits;
  bool add_prefix_space = false;  // ByteLevel: a space before every piece that does not begin with one
  bool use_regex = false;         // ByteLevel: splits by GPT-2's pattern
};

// Splits text into pre-tokens, which are encoded independently. Concurrent const use is safe.
class PreTokenizer {
 public:
  using Take = std::function<void(std::string_view)>;

  // Throws Error{model}, beginning with `where`, for a pattern that cannot be compiled.
  PreTokenizer(const PreTokenizerConfig& config, const std::string& where);

  // Calls `take` with every pre-token in order. `text` is well-formed UTF-8; a pre-token is valid until
  // `take` returns.
  void split(std::string_view text, const Take& take) const { split_from(0, text, take); }

 private:
  struct Step {
    bool add_prefix_space = false;
    std::optional<Regex> regex;
  };
  void split_from(std::size_t step, std::string_view text, const Take& take) const;

  std::vector<Step> steps_;
};

}  // namespace glmocr
