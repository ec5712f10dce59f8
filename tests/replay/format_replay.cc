// SPDX-License-Identifier: Apache-2.0
// Writes documents in every format: for tools/compare_formatter.py and for looking at results.
//
//   format_replay FORMAT < RECORDS
//
// Reads lines of page records (src/formats/page_record.h); an empty line ends a document. FORMAT is sdk, or the suffix of
// a format (md, json, jsonl, html, txt, hocr, alto). With sdk every document becomes a line of JSON: json, model_json and
// markdown, as the official formatter writes them. With a format the documents follow one another.
#include <cstring>
#include <iostream>
#include <vector>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "formats/page_record.h"
#include "formats/writer.h"

namespace glmocr::formats {
namespace {

std::string write(DocumentWriter& writer, const std::vector<DocumentPage>& pages) {
  std::string out;
  for (const DocumentPage& page : pages) out += writer.page(page);
  return out + writer.end();
}

std::string sdk_line(const std::vector<DocumentPage>& pages) {
  nlohmann::ordered_json line;
  line["json"] = write(*sdk_writer(SdkOutput::json), pages);
  line["model_json"] = write(*sdk_writer(SdkOutput::model_json), pages);
  line["markdown"] = write(*sdk_writer(SdkOutput::markdown), pages);
  return line.dump() + '\n';
}

std::string document(const std::string& format, const std::vector<DocumentPage>& pages) {
  if (format == "sdk") return sdk_line(pages);
  for (const Format known : {Format::markdown, Format::json, Format::jsonl, Format::html, Format::text,
                             Format::hocr, Format::alto}) {
    if (format != suffix(known)) continue;
    FormatOptions options;
    HeadingHeights heights;
    for (const DocumentPage& page : pages) heights.add(page);
    options.headings = heights.levels();
    if (!pages.empty()) options.file = pages.front().file;
    return write(*document_writer(known, options), pages);
  }
  fail(ErrorCode::usage, "no format " + format);
}

void run(const std::string& format) {
  std::vector<DocumentPage> pages;
  std::string line;
  for (int number = 1; std::getline(std::cin, line); ++number) {
    if (!line.empty()) {
      pages.push_back(parse_page_record(line, cat("line ", number)));
      continue;
    }
    std::cout << document(format, pages);
    pages.clear();
  }
  if (!pages.empty()) std::cout << document(format, pages);
}

}  // namespace
}  // namespace glmocr::formats

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: format_replay FORMAT < RECORDS\n";
    return 2;
  }
  try {
    glmocr::formats::run(argv[1]);
  } catch (const std::exception& error) {
    std::cerr << "format_replay: " << error.what() << '\n';
    return 2;
  }
}
