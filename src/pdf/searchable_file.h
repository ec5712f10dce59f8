// SPDX-License-Identifier: Apache-2.0
// Text over the pages of a PDF file, through a worker; internal to this room.
#pragma once
#include <memory>
#include <string>

#include "pdf/pdf_session.h"
#include "pdf/searchable_pdf.h"

namespace glmocr::pdf {

// As PdfFile::searchable. The text of pages waits in a temporary file until the writer is finished: only then a worker is
// started. Throws Error{device} where `renderer` cannot write.
std::unique_ptr<SearchableWriter> searchable_file(PdfSession session, const std::string& renderer,
                                                  std::int64_t page_count, ByteSink sink);

}  // namespace glmocr::pdf
