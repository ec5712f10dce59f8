// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <string>

namespace glmocr::cli {

// The parts of --help that are prose.
struct CommandHelp {
  const char* name;
  const char* usage;    // lines after "Usage: "
  const char* summary;  // for the list of commands
  const char* text;     // what it does
  const char* examples;
};

const CommandHelp& command_help(const std::string& name);
std::string command_list();  // a line a command
std::string exit_code_help();
const char* environment_help();

}  // namespace glmocr::cli
