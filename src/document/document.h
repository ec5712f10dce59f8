// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "document/page_ranges.h"
#include "image/decode.h"
#include "pdf/pdf_file.h"

namespace glmocr {

struct DocumentOptions {
  ImageOptions image;
  PdfOptions pdf;
  PageRanges pages;
};

// An input as a list of pages: a picture, a TIFF file or a PDF file. Any thread may use it.
class Document : public std::enable_shared_from_this<Document> {
 public:
  virtual ~Document() = default;
  virtual std::int64_t page_count() const = 0;
  // Whether its pages have numbers: those of PDF files have, and of TIFF files with several pages.
  virtual bool numbered() const = 0;
  // A page, from 1, as a picture. Throws Error, whose message begins with the name of the file and, where pages are
  // numbered, "page N"; MissingPage where the file only says that it has the page. `on_size`: as for decode_image.
  virtual DecodedImage decode(std::int64_t page, const SizeCallback& on_size) = 0;
  // The page's own text, at the size of its picture; nullopt for pictures, and where the renderer cannot tell. Throws as
  // decode().
  virtual std::optional<TextLayer> text_layer(std::int64_t page) = 0;
  // Where a document gives one page at a time: until the claim is dropped or the page was asked for, later pages wait for it
  // (PageTurns). Others return nullptr.
  virtual std::shared_ptr<void> claim(std::int64_t) { return nullptr; }
  // The document as a PDF file with text over its pages, which goes to `sink`. The writer may outlive the document. Throws
  // Error{device} where the renderer cannot write.
  virtual std::unique_ptr<SearchableWriter> searchable(ByteSink sink) = 0;
};

// Opens an input by its content; "-" is standard input. A picture is only opened when it is decoded: what is wrong with it
// is an error of its page. Throws Error, whose message begins with the name of the file.
std::shared_ptr<Document> open_document(const std::string& file, const DocumentOptions& options);

}  // namespace glmocr
