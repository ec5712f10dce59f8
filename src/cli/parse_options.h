// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <CLI/CLI.hpp>
#include <optional>
#include <string>
#include <vector>

#include "cli/arguments.h"
#include "cli/option_groups.h"

namespace glmocr::cli {

// Options of `parse` that finish_parse resolves when all are known.
struct ParseInputs {
  InputFiles input;
  std::vector<std::string> formats;
  std::optional<double> seconds;
  bool no_progress = false;
  bool compat = false;
};
void add_parse_options(CLI::App& app, ParseArguments& arguments, ParseInputs& inputs);
void finish_parse(ParseArguments& arguments, const ParseInputs& inputs);

}  // namespace glmocr::cli
