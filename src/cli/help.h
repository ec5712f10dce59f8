// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <string>

namespace glmocr::cli {

// The texts of --help.
struct CommandHelp {
  const char* name;
  const char* usage;    // lines after "Usage: "
  const char* summary;  // in the list of commands
  const char* text;     // what the command does
  const char* examples;
};

const CommandHelp& command_help(const std::string& name);
std::string command_list();  // one line per command
std::string exit_code_help();
const char* environment_help();

}  // namespace glmocr::cli
