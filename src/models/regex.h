// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace glmocr {

// A compiled pattern of tokenizer.json. Patterns are written for Oniguruma (Ruby syntax) and run by PCRE2,
// with what the two interpret differently translated: `\s` is exactly Unicode's White_Space (PCRE2 adds
// U+180E), `^` and `$` match at every line. What cannot be translated (nested classes, `&&`, `\h`) is
// refused, as are `\C`, which splits characters, and `\K`. Concurrent const use is safe.
class Regex {
 public:
  enum class Syntax { pattern, literal };

  // Throws Error{model}, beginning with `where`, for a pattern that cannot be compiled.
  Regex(std::string_view pattern, Syntax syntax, const std::string& where);

  // Splits `text` (well-formed UTF-8) into its matches and the parts between them, in order, none empty: the
  // behaviour "Isolated". Works for megabytes: matching does not recurse. Throws Error{model} for a pattern
  // that backtracks without end, or whose matches do not follow each other.
  void for_each_piece(std::string_view text, const std::function<void(std::string_view)>& take) const;

 private:
  struct Compiled;
  std::shared_ptr<const Compiled> compiled_;
};

}  // namespace glmocr
