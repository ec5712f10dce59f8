// SPDX-License-Identifier: Apache-2.0
// A PDF file and the worker that has it open, or will; internal to this room.
#pragma once
#include <memory>
#include <string>

#include "base/error.h"
#include "pdf/pdf_file.h"
#include "pdf/worker_process.h"

namespace glmocr::pdf {

struct PdfSession {
  std::string name;  // of the file, in messages
  PdfOptions options;
  std::string program;
  Descriptor document;
  std::unique_ptr<WorkerProcess> worker;
  std::int64_t page_count = 0;
  std::string renderer;

  // The same file without a worker. Throws Error{device}.
  PdfSession fresh() const;

  // Starts a worker and lets it open the document. Throws WorkerLost, Error.
  void begin();

  // Throws WorkerLost, Error{cancelled}; the worker is gone then.
  Reply ask(const Request& request);

  // A command about a page; throws the error that a reply tells as well.
  Reply ask_page(Command command, std::int64_t page);
  void check(const Reply& reply, std::int64_t page) const;

  std::string page_name(std::int64_t page) const { return cat(name, ": page ", page + 1); }

  // Calls `action` with a worker; what ends the worker is an error of the page.
  template <class Action>
  auto with_worker(std::int64_t page, Action action) {
    try {
      if (!worker) begin();
      return action();
    } catch (const WorkerLost& lost) {
      fail(ErrorCode::input, cat(page_name(page), ": ", lost.what));
    }
  }
};

}  // namespace glmocr::pdf
