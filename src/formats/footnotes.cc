// SPDX-License-Identifier: Apache-2.0
#include "formats/footnotes.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "base/error.h"
#include "formats/unicode_classes.h"

namespace glmocr::formats {
namespace {

constexpr std::size_t kLongestMark = 3;      // digits
constexpr std::size_t kLongestFormula = 16;  // "$^{\ddagger}$"

// A mark of a note: which one, how it was written and where.
struct Mark {
  std::size_t begin, end;
  Text name;  // digits, a letter, or a symbol
  bool bracketed = false;
};

// U+00B9 and others: the digit of a superscript, or 0 where it is none.
char32_t superscript_digit(char32_t c) {
  constexpr TextView kDigits = U"⁰¹²³⁴⁵⁶⁷⁸⁹";
  const std::size_t digit = kDigits.find(c);
  return digit == TextView::npos ? U'\0' : U'0' + static_cast<char32_t>(digit);
}

bool is_symbol(char32_t c) { return TextView(U"*†‡§¶").find(c) != TextView::npos; }
bool is_digit(char32_t c) { return c >= U'0' && c <= U'9'; }

// What a formula or tag raises: digits, a letter or a symbol; empty: something else.
Text raised_name(TextView inside) {
  constexpr std::array<std::pair<TextView, TextView>, 5> kCommands = {
      {{U"\\dagger", U"†"}, {U"\\ddagger", U"‡"}, {U"\\ast", U"*"}, {U"\\S", U"§"}, {U"\\P", U"¶"}}};
  inside = stripped(inside);
  for (const auto& [command, symbol] : kCommands) {
    if (inside == command) return Text(symbol);
  }
  const bool digits =
      !inside.empty() && inside.size() <= kLongestMark && std::all_of(inside.begin(), inside.end(), is_digit);
  const bool single =
      inside.size() == 1 && (is_symbol(inside[0]) || (inside[0] >= U'a' && inside[0] <= U'z'));
  return digits || single ? Text(inside) : Text();
}

// "$^{1}$", "$^1$" or "${}^{1}$".
std::optional<Mark> formula_mark(TextView text, std::size_t at) {
  const std::size_t close = text.substr(0, at + kLongestFormula).find(U'$', at + 1);
  if (text[at] != U'$' || close == TextView::npos) return std::nullopt;
  TextView inside = stripped(text.substr(at + 1, close - at - 1));
  if (inside.starts_with(U"{}")) inside = stripped(inside.substr(2));
  if (!inside.starts_with(U'^')) return std::nullopt;
  inside = stripped(inside.substr(1));
  if (inside.starts_with(U'{') && inside.ends_with(U'}')) inside = inside.substr(1, inside.size() - 2);
  const Text name = raised_name(inside);
  return name.empty() ? std::nullopt : std::optional(Mark{at, close + 1, name});
}

// "<sup>1</sup>" or "[1]".
std::optional<Mark> enclosed_mark(TextView text, std::size_t at, TextView open, TextView close) {
  if (text.substr(at, open.size()) != open) return std::nullopt;
  const std::size_t begin = at + open.size();
  const std::size_t end = text.substr(0, begin + kLongestFormula).find(close, begin);
  if (end == TextView::npos) return std::nullopt;
  const Text name = raised_name(text.substr(begin, end - begin));
  return name.empty() ? std::nullopt : std::optional(Mark{at, end + close.size(), name, open == U"["});
}

// "¹²" or "†".
std::optional<Mark> character_mark(TextView text, std::size_t at) {
  Mark mark{at, at, {}};
  while (mark.end < text.size() && mark.name.size() <= kLongestMark &&
         superscript_digit(text[mark.end]) != 0) {
    mark.name += superscript_digit(text[mark.end++]);
  }
  if (mark.name.empty() && is_symbol(text[at])) mark.name = text[mark.end++];
  return mark.name.empty() || mark.name.size() > kLongestMark ? std::nullopt : std::optional(mark);
}

std::optional<Mark> mark_at(TextView text, std::size_t at) {
  if (auto mark = formula_mark(text, at)) return mark;
  if (auto mark = enclosed_mark(text, at, U"<sup>", U"</sup>")) return mark;
  if (auto mark = enclosed_mark(text, at, U"[", U"]")) return mark;
  return character_mark(text, at);
}

// The mark that a note begins with; plain digits count there too: "1 See …", "1. See …".
std::optional<Mark> note_mark(TextView text) {
  if (text.empty()) return std::nullopt;
  if (auto mark = mark_at(text, 0)) return mark;
  std::size_t digits = 0;
  while (digits < text.size() && is_digit(text[digits])) ++digits;
  if (digits == 0 || digits > kLongestMark || digits == text.size()) return std::nullopt;
  const bool ended =
      is_space(text[digits]) || text[digits] == U'.' || text[digits] == U')' || !is_alnum(text[digits]);
  if (!ended) return std::nullopt;
  const bool stop = text[digits] == U'.' || text[digits] == U')';
  if (stop && digits + 1 < text.size() && is_digit(text[digits + 1])) return std::nullopt;  // "1.5"
  return Mark{0, digits + (stop ? 1 : 0), Text(text.substr(0, digits)), false};
}

// A reference stands behind a word or a sentence, not in front of one.
std::optional<Mark> find_reference(TextView text, const Mark& note) {
  for (std::size_t at = 1; at < text.size(); ++at) {
    const bool begins = text[at] == U'$' || text[at] == U'<' || text[at] == U'[' || is_symbol(text[at]) ||
                        superscript_digit(text[at]) != 0;
    if (!begins) continue;
    auto mark = mark_at(text, at);
    if (!mark) continue;
    const bool plain_symbol = is_symbol(text[at]);
    const bool behind_word = !is_space(text[at - 1]) && text[at - 1] != U'*';
    if (mark->name == note.name && mark->bracketed == note.bracketed && (!plain_symbol || behind_word))
      return mark;
    at = mark->end - 1;
  }
  return std::nullopt;
}

bool may_refer(const Block& block) {
  return block.kind == BlockKind::paragraph || block.kind == BlockKind::list_item ||
         block.kind == BlockKind::heading || block.kind == BlockKind::caption;
}

bool link(std::vector<Block>& blocks, const Mark& mark, int number) {
  for (Block& block : blocks) {
    if (!may_refer(block)) continue;
    const Text text = to_text(block.text);
    const auto reference = find_reference(text, mark);
    if (!reference) continue;
    block.text = to_utf8(right_stripped(TextView(text).substr(0, reference->begin))) +
                 cat("[^", number, "]") + to_utf8(TextView(text).substr(reference->end));
    block.notes.push_back(number);
    return true;
  }
  return false;
}

}  // namespace

Text note_name(TextView line) {
  const auto mark = note_mark(stripped(line));
  return mark ? mark->name : Text();
}

int link_footnotes(std::vector<Block>& blocks, int last) {
  for (Block& note : blocks) {
    if (note.kind != BlockKind::footnote) continue;
    const Text text = to_text(note.text);
    const auto mark = note_mark(text);
    const TextView rest = mark ? stripped(TextView(text).substr(mark->end)) : TextView();
    if (rest.empty() || !link(blocks, *mark, last + 1)) continue;
    note.text = to_utf8(rest);
    note.notes = {++last};
  }
  return last;
}

}  // namespace glmocr::formats
