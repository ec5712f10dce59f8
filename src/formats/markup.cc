// SPDX-License-Identifier: Apache-2.0
#include "formats/markup.h"

#include <algorithm>
#include <array>

#include "base/utf8.h"

namespace glmocr::formats {
namespace {

constexpr std::size_t kDeepest = 8;        // inline tags within each other
constexpr std::size_t kLongestTag = 1000;  // bytes: a > further away belongs to another tag

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c; }

// XML 1.0 has no other control characters, and not these two.
bool is_forbidden(std::string_view text, std::size_t at) {
  const auto c = static_cast<unsigned char>(text[at]);
  if (c < 0x20) return c != '\t' && c != '\n' && c != '\r';
  return text.substr(at, 3) == "\xEF\xBF\xBE" || text.substr(at, 3) == "\xEF\xBF\xBF";
}

std::string_view entity(char c) {
  switch (c) {
    case '&':
      return "&amp;";
    case '<':
      return "&lt;";
    case '>':
      return "&gt;";
    case '"':
      return "&quot;";
    default:
      return {};
  }
}

}  // namespace

std::string escaped(std::string_view text) {
  const std::string valid = to_valid_utf8(text);
  std::string out;
  out.reserve(valid.size());
  for (std::size_t i = 0; i < valid.size(); ++i) {
    const std::string_view replacement = entity(valid[i]);
    if (!replacement.empty()) {
      out += replacement;
    } else if (!is_forbidden(valid, i)) {
      out += valid[i];
    } else if (valid[i] == '\xEF') {
      i += 2;
    }
  }
  return out;
}

bool is_inline_tag(std::string_view name) {
  constexpr std::array<std::string_view, 9> kNames = {"sup", "sub", "b", "i", "u", "s", "em", "strong", "br"};
  return std::find(kNames.begin(), kNames.end(), name) != kNames.end();
}

void InlineWriter::text(std::string_view text) {
  html_ += escaped(text);
  plain_ += text;
}

void InlineWriter::open(std::string_view name) {
  if (!is_inline_tag(name)) return;
  if (name == "br") {
    html_ += "<br>";
    plain_ += ' ';
  } else if (open_.size() < kDeepest) {
    html_.append("<").append(name).append(">");
    open_.emplace_back(name);
  }
}

void InlineWriter::close(std::string_view name) {
  if (std::find(open_.begin(), open_.end(), name) == open_.end()) return;
  for (bool found = false; !found; open_.pop_back()) {
    html_.append("</").append(open_.back()).append(">");
    found = open_.back() == name;
  }
}

std::string InlineWriter::take_html() {
  while (!open_.empty()) {
    html_.append("</").append(open_.back()).append(">");
    open_.pop_back();
  }
  std::string html;
  html.swap(html_);
  return html;
}

std::string InlineWriter::take_plain() {
  std::string plain;
  plain.swap(plain_);
  return plain;
}

Tag tag_at(std::string_view text) {
  Tag tag;
  if (text.empty() || text[0] != '<') return tag;
  std::size_t at = 1;
  tag.closing = at < text.size() && text[at] == '/';
  if (tag.closing) ++at;
  const std::size_t begin = at;
  while (at < text.size() && (is_letter(text[at]) || (at > begin && text[at] >= '0' && text[at] <= '9')))
    ++at;
  const std::size_t end = text.substr(0, kLongestTag).find('>', at);
  if (at == begin || end == std::string_view::npos) return {};
  for (const char c : text.substr(begin, at - begin)) tag.name += lower(c);
  tag.attributes = text.substr(at, end - at);
  tag.length = end + 1;
  return tag;
}

}  // namespace glmocr::formats
