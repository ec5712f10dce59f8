// SPDX-License-Identifier: Apache-2.0
// The formats of a document, behind one interface.
#pragma once
#include <memory>
#include <string>

#include "formats/options.h"
#include "glmocr/region.h"

namespace glmocr::formats {

// Writes one document, page by page: the output is what the calls return, one after the other. It holds no more than one
// page back, for the rules that join the end of a page with the beginning of the next: hyphenated words and, if asked for,
// tables. Not for several threads. Content that is not UTF-8 becomes U+FFFD.
class DocumentWriter {
 public:
  virtual ~DocumentWriter() = default;

  // Pages come in their order. Where a page has an error, JSON says so; the other formats have nothing of it but its
  // mark, if page breaks are marked.
  virtual std::string page(const DocumentPage& page) = 0;

  // Ends the document; after that the writer is not used any more.
  virtual std::string end() = 0;
};

// The formats by the rules of docs/formats.md.
std::unique_ptr<DocumentWriter> document_writer(Format format, FormatOptions options = {});

enum class SdkOutput { markdown, json, model_json };

// The bytes of the official SDK (sdk_format.h). Markdown of nothing but blanks is not to be written to a file, as there.
std::unique_ptr<DocumentWriter> sdk_writer(SdkOutput output, bool pictures = true);

// "md", "json" and so on: the suffix of files, without a dot.
const char* suffix(Format format);

}  // namespace glmocr::formats
