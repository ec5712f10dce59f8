// SPDX-License-Identifier: Apache-2.0
#include "engine/text_extent.h"

#include <algorithm>

namespace glmocr::engine {
namespace {

constexpr double kLetter = 0.35, kNarrow = 0.2, kSign = 0.3, kIdeograph = 0.7, kMarkup = 0.1;
constexpr double kField = 1;  // a line or table cell that is not wider
constexpr int kLongestTag = 64;

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_one_of(char c, std::string_view set) { return set.find(c) != std::string_view::npos; }

}  // namespace

void TextExtent::add(std::string_view bytes) {
  for (const char c : bytes) {
    if (!continue_markup(c)) add_text(c);
  }
}

// True where the character belongs to a tag or command and needs no more attention.
bool TextExtent::continue_markup(char c) {
  const Inside inside = inside_;
  if (inside == Inside::text) return false;
  if (inside == Inside::tag) {
    if (++markup_length_ == 1 && tag_ == 't' && (c == 'd' || c == 'h')) end_field();
    const bool ends = c == '>', is_text = markup_length_ == kLongestTag || c == '<' || c == '\n';
    if (is_text) add_width(kLetter * markup_length_, true);
    if (ends || is_text) inside_ = Inside::text;
    return !is_text;
  }
  if (inside == Inside::command) {
    if (is_letter(c)) return true;
    inside_ = Inside::text;
    return false;
  }
  inside_ = Inside::text;
  if (inside == Inside::angle) {
    if (!is_letter(c) && c != '/') {
      add_width(kSign, false);
      return false;
    }
    inside_ = Inside::tag;
    tag_ = c;
    markup_length_ = 0;
    add_break();
    return true;
  }
  // Behind a backslash: a command, the end of a line, or an escaped sign.
  if (c == '\\') {
    add_newline();
  } else {
    add_width(kNarrow, false);
    if (is_letter(c)) inside_ = Inside::command;
  }
  return true;
}

void TextExtent::add_break() {
  ++total_.breaks;
  total_.unbroken = 0;
  letters_at_break_ = total_.letters;
}

void TextExtent::end_field() {
  total_.width += std::max(kField - field_, 0.0);
  field_ = 0;
}

void TextExtent::add_newline() {
  if (field_ > 0) end_field();
  blank_ = true;
  add_break();
}

void TextExtent::add_text(char c) {
  const auto byte = static_cast<unsigned char>(c);
  if (byte >= 0x80 && byte < 0xC0) return;  // a character's further bytes
  if (c == '\n') return add_newline();
  if (c == ' ' || c == '\t' || c == '\r') {
    if (!blank_) add_width(kNarrow, false);
    blank_ = true;
    if (total_.letters > letters_at_break_) add_break();
    return;
  }
  blank_ = false;
  if (c == '<') {
    inside_ = Inside::angle;
  } else if (c == '\\') {
    inside_ = Inside::backslash;
  } else if (byte >= 0xE3) {  // ideographs, kana, hangul, emoji
    add_width(kIdeograph, true);
    add_break();
  } else if (byte >= 0x80) {
    const bool sign = byte == 0xE2 || byte == 0xC2;  // general punctuation, symbols
    add_width(sign ? kNarrow : kSign, !sign);
  } else if (is_letter(c) || is_digit(c)) {
    add_width(is_one_of(c, "fijlrtI1") ? kNarrow : kLetter, true);
  } else if (is_one_of(c, "{}$^&*#|~`")) {
    ++total_.signs;
    add_width(kMarkup, false);
  } else {
    add_width(is_one_of(c, ".,:;'!()[]-\"") ? kNarrow : kSign, false);
  }
}

}  // namespace glmocr::engine
