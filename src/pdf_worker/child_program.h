// SPDX-License-Identifier: Apache-2.0
// A program in a jail of its own (enter_program_jail), and what it writes.
#pragma once
#include <functional>
#include <span>
#include <string>
#include <vector>

namespace glmocr::pdf {

struct ProgramEnd {
  int exit_code = -1;  // -1: ended by a signal
  int signal = 0;
  std::string errors;  // the beginning of what it wrote to standard error
};

// Runs `path`, found already, with these arguments; argv[0] is the path. Its standard output goes to `on_output` piece by
// piece; where that returns false the program is killed. It inherits kDocumentFd. Throws Failure{no_renderer} where it
// cannot be started in its jail.
ProgramEnd run_program(const std::string& path, const std::vector<std::string>& arguments,
                       const std::function<bool(std::span<const char>)>& on_output);

}  // namespace glmocr::pdf
