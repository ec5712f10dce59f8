// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <CLI/CLI.hpp>
#include <optional>
#include <string>
#include <vector>

#include "cli/arguments.h"

namespace glmocr::cli {

// Options of `parse` that finish_parse resolves when all are known.
struct ParseInputs {
  std::string list_file;
  bool null_separated = false;
  std::string password_file;
  std::vector<std::string> formats;
  std::optional<double> seconds;
  bool no_progress = false;
  bool compat = false;
};
void add_parse_options(CLI::App& app, ParseArguments& arguments, ParseInputs& inputs);
void finish_parse(ParseArguments& arguments, const ParseInputs& inputs);

}  // namespace glmocr::cli
