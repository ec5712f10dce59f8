// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "cli/console.h"
#include "glmocr/glmocr.h"

namespace glmocr::cli {

enum class OutputFormat { text, json, jsonl };

struct ModelArguments {
  std::string path;  // empty: default_model_path()
  LoadOptions load;
};

struct ReadArguments {
  ModelArguments model;
  std::vector<std::string> files;  // "-": standard input
  ImageOptions image;
  ReadOptions options;
  EngineOptions engine;
  OutputFormat format = OutputFormat::text;
  std::string output;  // empty: standard output; else a file or a folder
  bool logprobs = false;
  bool stream = false;
  bool stats = false;
  bool progress = true;
};

struct ForwardArguments {
  ModelArguments model;
  std::vector<std::string> files;
  ImageOptions image;
  std::string prompt;
  int top = 5;
  std::string dump;  // empty: none; else a folder
  bool json = false;
};

struct InfoArguments {
  ModelArguments model;
  bool json = false;
};

struct TokenizeArguments {
  ModelArguments model;
  std::string text;
  std::vector<TokenId> decode;  // not empty: the other way round
  bool match_added = false;
  bool ids_only = false;
  bool json = false;
};

struct SelftestArguments {
  ModelArguments model;
};

struct Arguments {
  std::variant<ReadArguments, ForwardArguments, InfoArguments, TokenizeArguments, SelftestArguments> command;
  Verbosity verbosity = Verbosity::normal;
};

// Parses a command line; files it names (--files-from, --schema, tokenize --file) are read. Nothing is
// returned after --help or --version, which are printed. Throws Error{usage} with a hint at a mistyped
// option, Error{input} for a file that cannot be read.
std::optional<Arguments> parse_arguments(int argc, const char* const* argv);

// The command's code: ExitCode. They throw Error for what ends the whole command.
int run_read(const ReadArguments& arguments, Console& console);
int run_forward(const ForwardArguments& arguments, Console& console);
int run_info(const InfoArguments& arguments);
int run_tokenize(const TokenizeArguments& arguments);
int run_selftest(const SelftestArguments& arguments, Console& console);

// Loads what --model names, or the default.
Model load_model(const ModelArguments& arguments);

}  // namespace glmocr::cli
