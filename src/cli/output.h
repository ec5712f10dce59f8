// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <memory>
#include <string>
#include <string_view>

#include "cli/arguments.h"
#include "cli/page.h"

namespace glmocr::cli {

// Where the pages go, in their order, and in which form. A page that failed is left out of text and is an
// object with "error" in JSON.
class Output {
 public:
  virtual ~Output() = default;
  // A piece of the next page's text as it is made (--stream); the page itself follows by add().
  virtual void stream(const std::string&) {}
  virtual void add(const Page& page) = 0;
  virtual void finish() {}
};

// What --output and --format ask for. Throws Error{usage} for a place that cannot be written to, before any
// work is done. Output's functions throw OutputError and OutputClosed.
std::unique_ptr<Output> open_output(const ReadArguments& arguments, Console& console);

// One page as a JSON object on one line, or indented over several.
std::string page_json(const Page& page, bool indented);

}  // namespace glmocr::cli
