// SPDX-License-Identifier: Apache-2.0
// The writers behind document_writer, one file each, and what they share.
#pragma once
#include <memory>
#include <string>

#include "formats/blocks.h"
#include "formats/writer.h"

namespace glmocr::formats {

std::unique_ptr<DocumentWriter> markdown_writer(FormatOptions options);
std::unique_ptr<DocumentWriter> html_writer(FormatOptions options);
std::unique_ptr<DocumentWriter> text_writer(FormatOptions options);
std::unique_ptr<DocumentWriter> json_writer(FormatOptions options);
std::unique_ptr<DocumentWriter> jsonl_writer(FormatOptions options);
std::unique_ptr<DocumentWriter> hocr_writer(FormatOptions options);
std::unique_ptr<DocumentWriter> alto_writer(FormatOptions options);

// A block as Markdown, without what separates it from others. Empty: nothing is written.
std::string block_markdown(const Block& block, const FormatOptions& options);

// A block as plain text: no marks, tables as columns, formulas as they are.
std::string block_plain(const Block& block);

// The path of a picture in a link: the folder and the name, with %20 and the like.
std::string picture_link(const Block& block, const FormatOptions& options);

// The number of a page for users: a picture is page 1.
inline std::int64_t shown_number(std::int64_t number) { return number > 0 ? number : 1; }

}  // namespace glmocr::formats
