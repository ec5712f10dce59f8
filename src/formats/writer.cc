// SPDX-License-Identifier: Apache-2.0
#include "formats/writer.h"

#include <utility>

#include "base/error.h"
#include "formats/writers.h"

namespace glmocr::formats {

std::unique_ptr<DocumentWriter> document_writer(Format format, FormatOptions options) {
  switch (format) {
    case Format::markdown:
      return markdown_writer(std::move(options));
    case Format::json:
      return json_writer(std::move(options));
    case Format::jsonl:
      return jsonl_writer(std::move(options));
    case Format::html:
      return html_writer(std::move(options));
    case Format::text:
      return text_writer(std::move(options));
    case Format::hocr:
      return hocr_writer(std::move(options));
    case Format::alto:
      return alto_writer(std::move(options));
  }
  fail(ErrorCode::usage, cat("no format ", static_cast<int>(format)));
}

const char* suffix(Format format) {
  switch (format) {
    case Format::markdown:
      return "md";
    case Format::json:
      return "json";
    case Format::jsonl:
      return "jsonl";
    case Format::html:
      return "html";
    case Format::text:
      return "txt";
    case Format::hocr:
      return "hocr";
    case Format::alto:
      return "alto";
  }
  return "";
}

std::string picture_link(const Block& block, const FormatOptions& options) {
  constexpr std::string_view kSafe = "/._-~,:;=@!+";
  std::string link;
  for (const char c : options.picture_folder + "/" + block.picture) {
    const bool letter = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
    if (letter || kSafe.find(c) != std::string_view::npos) {
      link += c;
    } else {
      constexpr std::string_view kDigits = "0123456789ABCDEF";
      link += '%';
      link += kDigits[static_cast<unsigned char>(c) >> 4];
      link += kDigits[static_cast<unsigned char>(c) & 15];
    }
  }
  return link;
}

}  // namespace glmocr::formats
