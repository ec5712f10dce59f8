// SPDX-License-Identifier: Apache-2.0
// Searchable PDF files: pages as they are, with invisible text at its place.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "glmocr/region.h"

namespace glmocr {

// Gets the bytes of a file, piece by piece. May throw.
using ByteSink = std::function<void(std::string_view bytes)>;

// What was read on one page.
struct SearchablePage {
  std::int64_t number = 1;  // in the document, from 1
  // As in DocumentPage: boxes lie in a picture of this size, which is the page as Document::decode gives it, turned clockwise
  // by `rotation` (0, 90, 180, 270 degrees) and then turned back by `skew` about its middle.
  int width = 0, height = 0;
  int rotation = 0;
  double skew = 0;
  // In reading order. A line with words is placed word by word, any other as a whole. Empty: the page gets no text, as one
  // whose text was taken from the file itself.
  std::vector<PlacedText> lines;
};

class SearchableWriter {
 public:
  virtual ~SearchableWriter() = default;
  // In the order of the pages, each once at most. Throws Error{usage} for a page that cannot be, Error{input} that names the
  // file and the page; the others can still be written.
  virtual void add(const SearchablePage& page) = 0;
  // Writes what is left, once, and returns what went wrong with single pages, which are written without their text. Pages of
  // a PDF file that were not added keep what they have; those of a TIFF file are left out. Throws Error{input},
  // Error{cancelled} and what the sink throws: the bytes that it got are no whole file then.
  virtual std::vector<std::string> finish() = 0;
};

}  // namespace glmocr
