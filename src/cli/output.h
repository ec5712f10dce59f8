// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <filesystem>
#include <memory>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

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

// Replaces a file as a whole, through a link where the path is one. A device or a pipe (/dev/null, /dev/stderr) is
// written to, not replaced. Throws OutputError.
void write_output_file(const std::filesystem::path& path, std::string_view content);

// Whether --output names standard output: "", "-", or a name that the system has for it. A file behind such a name is
// appended to, as the caller opened it, and never replaced.
bool means_standard_output(const std::string& output);

// Whether the path is a folder that exists, or ends like one.
bool means_folder(const std::string& path);

// What --output names, before any work is done: makes the folder where it is missing; sees that a file can be made and
// is none of the inputs. They throw Error{usage}.
void prepare_output_folder(const std::string& output);
void check_output_file(const std::string& output, const std::vector<std::string>& inputs);

// Names of files in a folder: BASE.EXTENSION, or BASE.2.EXTENSION with a warning where an earlier input has that.
class OutputNameList {
 public:
  explicit OutputNameList(Console& console) : console_(console) {}
  std::string take(const std::string& input, const std::string& base, const std::string& extension);

 private:
  Console& console_;
  std::set<std::string> taken_;
};

// "NAME: MESSAGE" or "NAME: page N: MESSAGE", where the message does not begin with the name already.
std::string about(const Page& page, const std::string& message);

}  // namespace glmocr::cli
