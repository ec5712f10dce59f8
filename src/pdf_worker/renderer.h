// SPDX-License-Identifier: Apache-2.0
// What renders pages: PDFium in this process, or the programs of poppler.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "pdf/protocol.h"

namespace glmocr::pdf {

// What a renderer cannot do, thrown; becomes a Reply.
struct Failure {
  Status status;
  std::string message;
};

// The shared memory: rows of RGB of a page that is rendered, or its characters.
struct Pixels {
  std::uint8_t* data = nullptr;
  std::int64_t bytes = 0;
};

class Renderer {
 public:
  virtual ~Renderer() = default;
  virtual const char* name() const = 0;
  // Reads the document behind kDocumentFd and returns its number of pages. Called once, before the others.
  virtual std::int64_t open(const std::string& password) = 0;
  virtual PixelSize measure(std::int64_t page, double dpi, int max_side) = 0;
  // Fills width, height and stride of the reply.
  virtual void render(std::int64_t page, double dpi, int max_side, const Pixels& pixels, Reply& reply) = 0;
  // Puts the page's characters into the memory, as many as fit, and fills width, height, count and complete of the reply.
  virtual void text(std::int64_t page, double dpi, int max_side, const Pixels& memory, Reply& reply) = 0;
  // Puts the only page of a PDF file over a page, as Request says.
  virtual void add_text(const Request& request, std::span<const std::uint8_t> file) = 0;
  // Gives the document, with what was added, to `put` piece by piece.
  virtual void save(const std::function<void(std::span<const std::uint8_t>)>& put) = 0;
};

// Loads PDFium, then closes the jail around this process: from then on it opens nothing. PDFium is the library that
// GLMOCR_PDFIUM names, else libpdfium.so beside this program or in ../lib/glm-ocr, else where the
// loader finds it. nullptr where there is none, or GLMOCR_PDFIUM is empty. Throws Failure{no_renderer}
// where GLMOCR_PDFIUM names something that cannot be loaded, or where the system offers no jail.
std::unique_ptr<Renderer> open_pdfium();

// The programs pdfinfo and pdftoppm of poppler-utils, each started in a jail of its own. nullptr where they are not
// installed. Throws Failure{no_renderer} where the system offers no jail.
std::unique_ptr<Renderer> open_poppler();

}  // namespace glmocr::pdf
