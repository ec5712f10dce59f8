// SPDX-License-Identifier: Apache-2.0
#include "formats/sdk_rules.h"

#include <algorithm>

#include "formats/inline_maths.h"
#include "formats/repeats.h"
#include "formats/unicode_classes.h"

namespace glmocr::formats {
namespace {

constexpr std::size_t kLongText = 2048;  // from this length on repeats are looked for
constexpr char32_t kMiddleDot = 0xB7, kBulletDot = 0x2022, kWideOpen = 0xFF08, kWideClose = 0xFF09;

// (unit){4,} becomes three units.
Text shorten_runs(TextView text, TextView unit) {
  constexpr std::size_t kKept = 3;
  Text out;
  for (std::size_t at = 0; at < text.size();) {
    std::size_t count = 0;
    while (text.substr(at + count * unit.size(), unit.size()) == unit) ++count;
    if (count == 0) {
      out += text[at++];
      continue;
    }
    for (std::size_t i = 0; i < std::min(count, kKept); ++i) out += unit;
    at += count * unit.size();
  }
  return out;
}

// The length of the digits, or of the one ASCII letter, at the beginning.
std::size_t symbol_length(TextView text) {
  std::size_t length = 0;
  while (length < text.size() && is_decimal(text[length])) ++length;
  if (length == 0 && !text.empty() && is_ascii_letter(text[0])) length = 1;
  return length;
}

bool is_one_line(TextView text) { return text.find(U'\n') == TextView::npos; }

bool closes(char32_t c) { return c == U')' || c == kWideClose; }

Text closed_fence(TextView text) {
  Text out(text);
  if (text.starts_with(U"```") && !text.ends_with(U"```")) out += U"\n```";
  return out;
}

// Every newline that stands alone becomes two.
Text with_double_newlines(TextView text) {
  Text out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    out += text[i];
    const bool alone = (i == 0 || text[i - 1] != U'\n') && (i + 1 == text.size() || text[i + 1] != U'\n');
    if (text[i] == U'\n' && alone) out += U'\n';
  }
  return out;
}

Text with_spaced_marker(const Text& text) {
  ListMarker found;
  Text out = text;
  if (parenthesised_marker(out, found)) out = found.marker + U' ' + Text(found.rest);
  if (plain_marker(out, found)) out = found.marker + U' ' + Text(found.rest);
  return out;
}

Text title_text(const Text& text, RegionLabel label) {
  if (label == RegionLabel::doc_title) return U"# " + without_hashes(text);
  TextView rest = text;
  if (rest.starts_with(U"- ") || rest.starts_with(U"* ")) rest = left_stripped(rest.substr(2));
  return U"## " + Text(left_stripped(without_hashes(rest)));
}

Text plain_text(const Text& text) {
  Text out = closed_fence(text);
  if (is_bullet(out)) out = U"- " + Text(left_stripped(TextView(out).substr(1)));
  return with_double_newlines(with_spaced_marker(out));
}

}  // namespace

Text without_literal_tabs(TextView text) {
  while (text.starts_with(U"\\t")) text.remove_prefix(2);
  text = left_stripped(text);
  while (text.ends_with(U"\\t")) text.remove_suffix(2);
  return Text(right_stripped(text));
}

Text with_short_runs(TextView text) {
  Text out(text);
  for (const TextView unit : {TextView(U"."), TextView(&kMiddleDot, 1), TextView(U"_"), TextView(U"\\_")}) {
    out = shorten_runs(out, unit);
  }
  return out;
}

Text without_hashes(TextView text) {
  if (!text.starts_with(U'#')) return Text(text);
  return Text(left_stripped(text.substr(std::min(text.find_first_not_of(U'#'), text.size()))));
}

Text formula_body(TextView text) {
  const auto begins = [&](TextView mark) { return text.starts_with(mark); };
  const auto ends = [&](TextView mark) { return text.ends_with(mark); };
  if (begins(U"$$") || begins(U"\\[") || begins(U"\\(")) text = stripped(text.substr(2));
  if (ends(U"$$") || ends(U"\\]") || ends(U"\\)")) text = stripped(text.substr(0, text.size() - 2));
  return Text(text);
}

bool is_bullet(TextView text) {
  return text.starts_with(kMiddleDot) || text.starts_with(kBulletDot) || text.starts_with(U"* ");
}

bool parenthesised_marker(TextView text, ListMarker& found) {
  if (!(text.starts_with(U'(') || text.starts_with(kWideOpen)) || !is_one_line(text)) return false;
  const std::size_t length = symbol_length(text.substr(1));
  if (length == 0 || length + 1 >= text.size() || !closes(text[length + 1])) return false;
  found = {U'(' + Text(text.substr(1, length)) + U')', left_stripped(text.substr(length + 2))};
  return true;
}

bool plain_marker(TextView text, ListMarker& found) {
  const std::size_t length = symbol_length(text);
  if (length == 0 || length >= text.size() || !is_one_line(text)) return false;
  if (text[length] != U'.' && !closes(text[length])) return false;
  found = {Text(text.substr(0, length)) + (text[length] == U'.' ? U'.' : U')'),
           left_stripped(text.substr(length + 1))};
  return true;
}

Text sdk_clean(TextView text) {
  Text out = with_short_runs(without_literal_tabs(text));
  if (out.size() >= kLongText) out = without_repeats(out);
  return Text(stripped(with_tight_formulas(out, Dollars::sdk)));
}

Text sdk_region_text(TextView text, RegionLabel label) {
  const RegionTask task = region_task(label);
  const bool finished_table =
      task == RegionTask::table && text.starts_with(U"<table") && text.ends_with(U"</table>");
  const bool finished_formula =
      task == RegionTask::formula && text.starts_with(U"$$") && text.ends_with(U"$$");
  Text out = finished_table || finished_formula ? Text(stripped(text)) : sdk_clean(text);
  if (label == RegionLabel::doc_title || label == RegionLabel::paragraph_title) out = title_text(out, label);
  if (task == RegionTask::formula) return U"$$\n" + formula_body(out) + U"\n$$";
  return task == RegionTask::text ? plain_text(out) : out;
}

Text sdk_formula_number(TextView text) {
  text = stripped(text);
  const bool narrow = text.starts_with(U'(') && text.ends_with(U')');
  const bool wide = text.starts_with(kWideOpen) && text.ends_with(kWideClose);
  if (narrow || wide) text = text.substr(1, text.size() - 2);
  return Text(text);
}

bool sdk_is_word(TextView word) {
  constexpr std::size_t kShortest = 3, kLongest = 31;
  constexpr char32_t kKelvin = 0x212A;  // the only other character that is an ASCII letter in lower case
  if (word.size() < kShortest || word.size() > kLongest) return false;
  for (std::size_t i = 0; i < word.size(); ++i) {
    const bool letter = is_ascii_letter(word[i]) || word[i] == kKelvin;
    const bool mark = word[i] == U'-' || word[i] == U'\'';
    if (!letter && !mark) return false;
    if (mark && (i == 0 || word[i - 1] == word[i])) return false;
  }
  return true;
}

}  // namespace glmocr::formats
