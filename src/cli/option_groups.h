// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <CLI/CLI.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "cli/arguments.h"

// Groups of options that commands share. Few .cc files include this: CLI11 is slow to compile.
namespace glmocr::cli {

// Checks that a number is in a range; the message names the range.
CLI::Validator between(double low, double high);

// Refuses an empty text, which a script gives whose variable is not set.
CLI::Validator not_empty();

// An option whose text `parse` turns into the value of `target`.
template <class T, class Parse>
CLI::Option* add_parsed(CLI::App& app, const std::string& name, T& target, Parse parse,
                        const std::string& description) {
  const auto convert = [&target, parse, name](const std::string& value) {
    try {
      target = parse(value);
    } catch (const Error& error) {
      throw CLI::ValidationError(name, error.what());
    }
  };
  return app.add_option_function<std::string>(name, convert, description);
}

// An option with a fixed set of words.
template <class T>
CLI::Option* add_choice(CLI::App& app, const std::string& name, T& target,
                        const std::vector<std::pair<std::string, T>>& choices,
                        const std::string& description) {
  std::vector<std::string> names;
  for (const auto& choice : choices) names.push_back(choice.first);
  const std::string words = join(names, "|");
  const auto parse = [choices, words](const std::string& value) {
    for (const auto& choice : choices) {
      if (choice.first == value) return choice.second;
    }
    fail(ErrorCode::usage, cat("\"", value, "\" is none of ", words));
  };
  return add_parsed(app, name, target, parse, description)->option_text(words);
}

// --quiet and -v, and --version.
struct MessageOptions {
  bool quiet = false;
  int verbose = 0;
  Verbosity verbosity() const;
};
void add_message_options(CLI::App& app, MessageOptions& options);

// Whether a command takes a list of devices.
enum class DeviceUse { one, several };

// --model, --device, --dtype, --threads, --memory, --quantize
void add_model_options(CLI::App& app, ModelArguments& arguments, DeviceUse devices = DeviceUse::one);

// --layout-model, --device, --dtype, --threads, --memory
void add_layout_model_options(CLI::App& app, ModelArguments& arguments);

// --max-pixels, --picture-memory, --background
void add_image_options(CLI::App& app, ImageOptions& options, const std::string& group);

// --task, --schema, --prompt
void add_prompt_options(CLI::App& app, ReadOptions& options, std::string& schema_file);

// The content of the schema's file, checked to be JSON; "" where the task has none. Throws Error{usage} for a
// schema without --task extract and for that task without a schema, Error{input} for a file that cannot be
// used.
std::string read_schema(Task task, const std::string& schema_file);

// Files that name inputs, and what is needed to open them.
struct InputFiles {
  std::string list_file;
  bool null_separated = false;
  std::string password_file;
};

// The inputs themselves, called `name` in the help; --files-from, --null
void add_input_options(CLI::App& app, const std::string& name, std::vector<std::string>& files,
                       InputFiles& inputs);

// --pages, --dpi
void add_page_options(CLI::App& app, PageRanges& pages, double& dpi);

// --password-file
void add_password_option(CLI::App& app, InputFiles& inputs);

// Adds the files that --files-from names. Throws Error{usage} where standard input would be read twice, Error{input} for a
// list that cannot be read or names nothing.
void add_listed_files(std::vector<std::string>& files, const InputFiles& inputs);

// The first line of the file of --password-file; "" where no file is given.
std::string read_password(const InputFiles& inputs);

// Options of `read` that finish_read resolves when all are known.
struct ReadInputs {
  InputFiles input;
  std::string schema_file;
  std::optional<double> seconds;
  bool no_progress = false;
  std::optional<int> logprobs;
};
void add_read_options(CLI::App& app, ReadArguments& arguments, ReadInputs& inputs);
void finish_read(ReadArguments& arguments, const ReadInputs& inputs);

}  // namespace glmocr::cli
