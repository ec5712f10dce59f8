// SPDX-License-Identifier: Apache-2.0
// The text that a page of a PDF file holds itself, with the places of its letters.
#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "glmocr/image.h"
#include "glmocr/region.h"

namespace glmocr {

// What a text layer says of itself. Counts are of characters that are no white space and lie on the page.
struct TextQuality {
  std::int64_t characters = 0;
  std::int64_t invisible =
      0;  // drawn neither filled nor outlined: often the text of an OCR program under a scan
  std::int64_t unmapped = 0;     // without a meaning: the font does not say which letter it draws
  std::int64_t unprintable = 0;  // control characters, private use, U+FFFD, or no character of Unicode
  // Neighbours of which one is a tall letter (b, T) and the other a low one (a, n), and those of them where the first is
  // drawn no taller than the second: fonts that lie about their letters.
  std::int64_t height_pairs = 0, wrong_heights = 0;
  bool complete = true;  // false: the page has more characters than are taken (pdf::kMaxCharacters)
};

struct TextLayer {
  int width = 0, height = 0;  // of the page in pixels, as PdfFile::render gives it: boxes lie in it
  // In the order of the PDF file; each has its words, boxes close around the letters. Text beside the page is left out.
  // A line ends where the file goes on elsewhere: the columns of a table are lines of their own.
  std::vector<PlacedText> lines;
  TextQuality quality;
};

// Whether the text can be taken for what is seen on the page, `image`, of the layer's size: its letters are visible and
// known, there is ink where it says that there are letters, and it is not only a small part of what is written. False
// for a page with ink and no text; true for an empty one.
bool text_layer_agrees(const TextLayer& layer, const Image& image);

// The same question for a part of the page: the share of its ink that lies under words of the layer, 0 … 1; 1 where it has
// no ink. A figure with letters of its own has a small one, running text 0.9 and more.
double covered_ink(const TextLayer& layer, const Image& image, const Box& part);

}  // namespace glmocr
