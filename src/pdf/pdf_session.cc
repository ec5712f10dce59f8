// SPDX-License-Identifier: Apache-2.0
#include "pdf/pdf_session.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace glmocr::pdf {
namespace {

// As render may fill it, rows padded to four bytes, or text. What is not used takes no memory.
std::int64_t shared_bytes(int max_side) {
  return std::max((std::int64_t{max_side} * 3 + 3) / 4 * 4 * max_side,
                  std::int64_t{kMaxCharacters} * std::int64_t{sizeof(Character)});
}

const char* choice(PdfRenderer renderer) {
  if (renderer == PdfRenderer::automatic) return "auto";
  return renderer == PdfRenderer::pdfium ? "pdfium" : "poppler";
}

}  // namespace

PdfSession PdfSession::fresh() const {
  PdfSession other;
  other.name = name;
  other.options = options;
  other.program = program;
  other.document = Descriptor(::fcntl(document.get(), F_DUPFD_CLOEXEC, 0));
  if (other.document.get() < 0) {
    fail(ErrorCode::device, cat(name, ": cannot be opened once more: ", std::strerror(errno)));
  }
  return other;
}

void PdfSession::begin() {
  worker = std::make_unique<WorkerProcess>(program, choice(options.renderer), document.get(),
                                           shared_bytes(options.max_side));
  Request request;
  request.command = Command::open;
  std::memcpy(request.password, options.password.data(), options.password.size());
  const Reply reply = ask(request);
  if (reply.status == Status::no_renderer) {
    worker.reset();
    fail(ErrorCode::device, cat(name, ": ", reply.message));
  }
  if (reply.status != Status::ok) {
    worker.reset();
    fail(ErrorCode::input, cat(name, ": is a PDF file, and ", reply.message));
  }
  page_count = reply.page_count;
  renderer = reply.renderer;
}

Reply PdfSession::ask(const Request& request) {
  try {
    return worker->ask(request, options.time_limit, options.cancelled);
  } catch (...) {
    worker.reset();
    throw;
  }
}

Reply PdfSession::ask_page(Command command, std::int64_t page) {
  Request request;
  request.command = command;
  request.page = page;
  request.dpi = options.dpi;
  request.max_side = options.max_side;
  const Reply reply = ask(request);
  check(reply, page);
  return reply;
}

void PdfSession::check(const Reply& reply, std::int64_t page) const {
  const std::string message = cat(page_name(page), ": ", reply.message);
  if (reply.status == Status::no_page) throw MissingPage(ErrorCode::input, message);
  if (reply.status == Status::no_renderer) fail(ErrorCode::device, message);
  if (reply.status != Status::ok) fail(ErrorCode::input, message);
}

}  // namespace glmocr::pdf
