// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <string_view>

namespace glmocr::engine {

// The space that a text takes on a picture, in heights of its letters: a lower bound, with the widths of condensed
// typefaces. What only structures a text (tags of HTML, names of LaTeX commands, braces) takes little or none.
struct Extent {
  double width = 0;  // of all its characters in one row, and the gaps around its lines and table cells
  std::int64_t letters = 0;  // and digits
  std::int64_t signs = 0;    // that may be markup, and count as narrow here
  std::int64_t spaces = 0;
  std::int64_t breaks = 0;  // places other than spaces where a line may end: newlines, tags, ideographs

  Extent operator-(const Extent& before) const {
    return {width - before.width, letters - before.letters, signs - before.signs, spaces - before.spaces,
            breaks - before.breaks};
  }
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
    total_.letters += letter ? 1 : 0;
  }
  void add_line_break();

  Extent total_;
  Inside inside_ = Inside::text;
  int markup_length_ = 0;  // characters of the tag or command so far
  bool line_begins_ = true;
  char tag_ = '\0';  // its first letter
};

}  // namespace glmocr::engine
