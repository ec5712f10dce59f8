// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <vector>

#include "glmocr/image.h"
#include "glmocr/region.h"

namespace glmocr {

// All that stands side by side in one line of a picture of text.
struct TextRow {
  Box box;     // in pixels of the picture, with a little white around
  Box leader;  // the row of dots between its ends, where there is one
  int letter_height = 0;
};

// The rows of a picture of one region, from above. None where it holds drawings, or nothing like letters.
std::vector<TextRow> text_rows(const Image& picture);

// The row cut out, its leader shortened to a few dots: readers lose what stands behind a long one.
Image row_picture(const Image& picture, const TextRow& row);

// What of a picture of text is read one after the other, from above; nothing where it is best read at once. Rows of contents
// with leaders are read one by one. Where the first line of a paragraph hangs out to the left and no sign of a list stands in
// it, it is read apart from the others, since readers invent one there.
std::vector<Image> reading_pieces(const Image& picture);

}  // namespace glmocr
