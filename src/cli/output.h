// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>

#include "cli/arguments.h"
#include "document/page.h"

namespace glmocr::cli {

// Thrown when the output of one input cannot be written, at its last page; others may be.
struct PageOutputError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// Where the pages are written, in their order, and in which format. A page that failed is left out of text;
// in JSON it is an object with "error".
class Output {
 public:
  virtual ~Output() = default;
  // A piece of the next page's text as it is generated (--stream); add() follows with the page itself.
  virtual void stream(const std::string&) {}
  virtual void add(const Page& page) = 0;
  virtual void finish() {}
};

// What --output and --format ask for. Throws Error{usage} for a place that cannot be written to, before any
// work is done. The functions of Output throw OutputError and OutputClosed, and add() PageOutputError.
std::unique_ptr<Output> open_output(const ReadArguments& arguments, Console& console);

}  // namespace glmocr::cli
