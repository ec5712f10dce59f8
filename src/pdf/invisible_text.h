// SPDX-License-Identifier: Apache-2.0
// Text at its place, to be selected and searched and not seen; internal to this room.
#pragma once
#include <array>
#include <span>
#include <string>

#include "pdf/searchable_pdf.h"

namespace glmocr::pdf {

// Throws Error{usage} for a page whose numbers cannot be.
void check(const SearchablePage& page);

// Operators that draw nothing, in pixels of the page from its lower left corner, with the font /F; and the letters to be
// given to write_glyphless_font. Text is in the order of the lines: words in a line are separated by a space and by room.
// Words that run to the left are in the order in which they are seen, which is how readers of PDF files expect them.
struct InvisibleText {
  std::string content;
  std::u32string letters;
};
InvisibleText invisible_text(const SearchablePage& page);

// x' = a x + c y + e, y' = b x + d y + f.
using Matrix = std::array<double, 6>;

// From the pixels of invisible_text to those of the page's picture before it was turned, from its upper left corner.
Matrix to_unturned_picture(const SearchablePage& page);

// The size of that picture.
struct PictureSize {
  int width = 0, height = 0;
};
PictureSize unturned_size(const SearchablePage& page);

}  // namespace glmocr::pdf
