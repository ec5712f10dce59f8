// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <string>

#include "pdf/pdf_file.h"
#include "support/pdf_writer.h"

namespace glmocr {

inline std::string renderer_name(PdfRenderer renderer) {
  return renderer == PdfRenderer::pdfium ? "PDFium" : "poppler";
}

// Whether this machine has the renderer: only an installation that is missing counts as not.
inline bool has_renderer(PdfRenderer renderer) {
  PdfOptions options;
  options.renderer = renderer;
  try {
    PdfFile::open_bytes(pdf_of({{""}}), "probe.pdf", options);
    return true;
  } catch (const Error& error) {
    if (error.code() == ErrorCode::device) return false;
    throw;
  }
}

}  // namespace glmocr
