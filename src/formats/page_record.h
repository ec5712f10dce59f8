// SPDX-License-Identifier: Apache-2.0
// A page with all that was read, on one line of JSON: what a job keeps of finished pages, so that outputs can be written
// later, or anew. Not an output: the formats for users are in writer.h.
#pragma once
#include <string>
#include <string_view>

#include "glmocr/region.h"

namespace glmocr::formats {

// Bytes that are not UTF-8 become U+FFFD; all else comes back equal.
std::string page_record(const DocumentPage& page);

// Throws Error{input} that names `name` and the key where the line is no record.
DocumentPage parse_page_record(std::string_view line, const std::string& name);

}  // namespace glmocr::formats
