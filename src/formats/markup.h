// SPDX-License-Identifier: Apache-2.0
// Text in HTML and XML. Texts come from a model that read a foreign page: nothing of them may become markup but the few
// tags named here.
#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace glmocr::formats {

// With & < > " as entities, without the characters that XML forbids. What is not UTF-8 becomes U+FFFD.
std::string escaped(std::string_view text);

// Whether a tag may stay, without attributes: sup, sub, b, i, u, s, em, strong, br. Lower-case names.
bool is_inline_tag(std::string_view name);

// Writes text with those tags as HTML in which every tag is closed, and as plain text.
class InlineWriter {
 public:
  void text(std::string_view text);
  void markup(std::string_view html) { html_ += html; }  // trusted
  void open(std::string_view name);                      // an inline tag, or nothing happens
  void close(std::string_view name);                     // what is not open is left out

  // Closes what is open. The writer is empty afterwards.
  std::string take_html();
  std::string take_plain();

 private:
  std::string html_, plain_;
  std::vector<std::string> open_;
};

// A tag at the beginning of a text: "<name …>", "</name …>"; of length 0 where there is none.
struct Tag {
  std::size_t length = 0;
  bool closing = false;
  std::string name;             // in lower case
  std::string_view attributes;  // what stands between the name and the >
};
Tag tag_at(std::string_view text);

}  // namespace glmocr::formats
