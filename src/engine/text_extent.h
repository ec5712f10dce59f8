// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <string_view>

namespace glmocr::engine {

// The space that a text takes on a picture, in heights of its letters: a lower bound, with the widths of condensed
// typefaces. What only structures a text (tags of HTML, names of LaTeX commands, braces) takes little or none.
struct Extent {
  double width =
      0;  // of all its characters in one row; its lines and table cells are no shorter than one height
  double unbroken = 0;       // width since the last break: on one line
  std::int64_t letters = 0;  // and digits
  std::int64_t signs = 0;    // that may be markup, and count as narrow here
  std::int64_t breaks = 0;   // places where a line may end: newlines, tags, ideographs, spaces behind words
};

// Measures a text that comes in pieces of bytes. A character counts at its first byte.
class TextExtent {
 public:
  void add(std::string_view bytes);
  const Extent& total() const { return total_; }

 private:
  enum class Inside { text, angle, tag, backslash, command };

  bool continue_markup(char c);
  void add_text(char c);
  void add_width(double width, bool letter) {
    total_.width += width;
    total_.unbroken += width;
    total_.letters += letter ? 1 : 0;
    field_ += width;
  }
  void add_break();
  void end_field();
  void add_newline();

  Extent total_;
  Inside inside_ = Inside::text;
  int markup_length_ = 0;  // characters of the tag or command so far
  std::int64_t letters_at_break_ = 0;
  bool blank_ = true;  // behind a space or newline: further spaces leave no trace
  double field_ = 0;   // width of the line or table cell so far
  char tag_ = '\0';    // its first letter
};

}  // namespace glmocr::engine
