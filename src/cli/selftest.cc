// SPDX-License-Identifier: Apache-2.0
#include "glmocr/selftest.h"

#include <cstdio>

#include "base/error.h"
#include "cli/arguments.h"
#include "cli/exit_code.h"
#include "cli/standard_streams.h"

namespace glmocr::cli {
namespace {

std::string line_of(const SelftestCheck& check) {
  char numbers[80];
  std::snprintf(numbers, sizeof numbers, "error %.2e, allowed %.2e", check.error, check.tolerance);
  const std::string detail = check.detail.empty() ? "" : "  " + check.detail;
  return cat(check.passed ? "ok    " : "FAIL  ", check.name, "  ", numbers, detail, "\n");
}

}  // namespace

int run_selftest(const SelftestArguments& arguments, Console& console) {
  const std::string path = arguments.model.path.empty() ? default_model_path() : arguments.model.path;
  int passed = 0, checks = 0;
  const bool all = selftest(path, arguments.model.load, [&](const SelftestCheck& check) {
    ++checks;
    if (check.passed) ++passed;
    if (!check.passed || console.verbosity() != Verbosity::quiet) write_standard_output(line_of(check));
  });
  write_standard_output(cat(passed, " of ", checks, " checks passed on ", arguments.model.load.device, "\n"));
  return all ? kOk : kSomeFailed;
}

}  // namespace glmocr::cli
