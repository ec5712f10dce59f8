// SPDX-License-Identifier: Apache-2.0
#include "formats/inline_maths.h"

#include "formats/unicode_classes.h"

namespace glmocr::formats {
namespace {

constexpr std::size_t kNone = TextView::npos;

// For each place of a text, where the formula that is open there would close: at the next dollar that is not escaped.
// kNone where there is none, or a backslash before that has no character to escape.
std::vector<std::size_t> closing_dollars(TextView text) {
  std::vector<std::size_t> closing(text.size() + 2, kNone);
  for (std::size_t i = text.size(); i-- > 0;) {
    if (text[i] == U'$') {
      closing[i] = i;
    } else if (text[i] == U'\\') {
      closing[i] = i + 1 < text.size() && text[i + 1] != U'\n' ? closing[i + 2] : kNone;
    } else {
      closing[i] = closing[i + 1];
    }
  }
  return closing;
}

}  // namespace

std::vector<InlineFormula> inline_formulas(TextView text, Dollars dollars) {
  const std::vector<std::size_t> closing = closing_dollars(text);
  std::vector<InlineFormula> formulas;
  for (std::size_t at = text.find(U'$'); at != kNone; at = text.find(U'$', at)) {
    const std::size_t end = closing[at + 1];
    const char32_t before = at > 0 ? text[at - 1] : U' ';
    const char32_t after = end != kNone && end + 1 < text.size() ? text[end + 1] : U' ';
    const bool price = dollars == Dollars::guarded && is_decimal(after);
    if (before == U'$' || end == kNone || end == at + 1 || after == U'$' || price) {
      ++at;
      continue;
    }
    const TextView body = stripped(text.substr(at + 1, end - at - 1));
    if (!body.empty()) formulas.push_back({at, end + 1, body});
    at = end + 1;
  }
  return formulas;
}

Text with_tight_formulas(TextView text, Dollars dollars) {
  Text out;
  std::size_t done = 0;
  for (const InlineFormula& formula : inline_formulas(text, dollars)) {
    out += text.substr(done, formula.begin - done);
    if (formula.begin > done && is_alnum(text[formula.begin - 1])) out += U' ';
    out += U'$';
    out += formula.body;
    out += U'$';
    if (formula.end < text.size() && is_alnum(text[formula.end])) out += U' ';
    done = formula.end;
  }
  out += text.substr(done);
  return out;
}

}  // namespace glmocr::formats
