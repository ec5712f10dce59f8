// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "glmocr/error.h"
#include "glmocr/image.h"
#include "pdf/searchable_pdf.h"
#include "pdf/text_layer.h"

namespace glmocr {

// Thrown by PdfFile::render: the file counts the page, and it does not exist or cannot be loaded.
class MissingPage : public Error {
 public:
  using Error::Error;
};

enum class PdfRenderer { automatic, pdfium, poppler };  // automatic: PDFium, or poppler where that is absent

struct PdfOptions {
  double dpi = 200;
  int max_side = 3500;   // pixels of a page's longer side at most; 1 to kMaxPdfSide
  std::string password;  // of the user or the owner, UTF-8; empty: none
  PdfRenderer renderer = PdfRenderer::automatic;
  std::chrono::milliseconds time_limit = std::chrono::seconds(60);  // for opening the file, and for each page
  // The program glm-ocr-pdf. Empty: GLMOCR_PDF_WORKER, else beside the file that holds this code or in the
  // folder bin next to that file's.
  std::string worker;
  // Asked a few times a second while a page is rendered; true ends it with Error{cancelled}. May be empty.
  std::function<bool()> cancelled;
};

inline constexpr int kMaxPdfSide = 10000;

// A PDF file whose pages are rendered by a process of its own (pdf/protocol.h), which can neither open files nor
// reach the network, and has 1 GiB of memory. Where that process ends, one page is lost; the next call starts
// another one. Linux only: elsewhere opening throws Error{device}. One call at a time, from any thread.
class PdfFile {
 public:
  // Throws Error{input}, whose message begins with the path, for a file that cannot be read, that is broken or
  // encrypted with another password; Error{device} where there is no worker or no renderer; Error{usage} for
  // options out of range.
  static PdfFile open(const std::string& path, const PdfOptions& options);
  // The same for a file in memory, which messages call `name`.
  static PdfFile open_bytes(std::string content, const std::string& name, const PdfOptions& options);
  ~PdfFile();
  PdfFile(PdfFile&& other) noexcept;
  PdfFile& operator=(PdfFile&& other) noexcept;

  // As the file says; pages that it does not have are errors of render().
  std::int64_t page_count() const;

  // A page on white, from 0. `on_size` is called once with the bytes of its pixels before memory for them is taken,
  // and may block or throw. Throws Error{input} that begins with the name and "page N" (from 1); nothing else
  // is lost with it.
  Image render(std::int64_t page, const std::function<void(std::int64_t bytes)>& on_size = {});

  // The text of a page, from 0, at the size of its picture. An empty layer where it has none, nullopt where the
  // renderer cannot tell (poppler). Throws as render().
  std::optional<TextLayer> text_layer(std::int64_t page);

  // The file with text over its pages, which goes to `sink` when the writer is finished: to be opened with the same
  // password, with the same permissions. Has a worker of its own, and outlives this object. Throws Error{device} where the
  // renderer cannot write (poppler).
  std::unique_ptr<SearchableWriter> searchable(ByteSink sink) const;

  std::string renderer_name() const;  // "PDFium" or "poppler"

  // The worker's process, for measurements; -1 where none is running.
  int worker_pid() const;

  struct State;

 private:
  explicit PdfFile(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace glmocr
