// SPDX-License-Identifier: Apache-2.0
// Pictures as pages of a PDF file.
#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "glmocr/image.h"
#include "pdf/searchable_pdf.h"

namespace glmocr {

// Writes a PDF file page by page; memory does not grow with it but for a few bytes per page. A page has a point for each
// 1/72 inch at this many pixels per inch.
class PicturePdf {
 public:
  // Messages call the document `name`.
  PicturePdf(ByteSink sink, double dpi, std::string name);
  ~PicturePdf();
  PicturePdf(const PicturePdf&) = delete;
  PicturePdf& operator=(const PicturePdf&) = delete;

  // Whether it is a JPEG file that can be a page as it is: 8 bits, grey or three colours. What EXIF says of its orientation
  // is not looked at.
  static bool takes_jpeg(std::string_view file);

  // Adds a page with a picture of page's size before it was turned, and the page's text over it: a JPEG file that
  // takes_jpeg accepts, or pixels, which are packed without loss. Throws Error{input} where the sizes differ.
  void add_jpeg(std::string_view file, const SearchablePage& page);
  void add(const Image& image, const SearchablePage& page);
  // Writes the end of the file.
  void finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace glmocr
