// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "cli/console.h"
#include "document/page_ranges.h"
#include "glmocr/glmocr.h"
#include "jobs/document_output.h"
#include "jobs/input_list.h"

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
  double dpi = 200;      // of PDF pages
  std::string password;  // of PDF files
  PageRanges pages;
  ReadOptions options;
  EngineOptions engine;
  OutputFormat format = OutputFormat::text;
  std::string output;  // a file or a folder; empty: standard output
  bool logprobs = false;
  bool stream = false;
  bool stats = false;
  bool progress = true;
};

// How `parse` divides a page.
enum class RegionSource { automatic, detector, classical, page };

struct ParseArguments {
  ModelArguments model;
  std::string layout_model;  // empty: default_layout_model_path()
  std::vector<std::string> files;
  ImageOptions image;
  double dpi = 200;      // of PDF pages
  std::string password;  // of PDF files
  PageRanges pages;
  TextLayerUse text_layer = TextLayerUse::automatic;
  RegionSource regions = RegionSource::automatic;
  float threshold = 0.3f;
  bool turn_pages = true;
  OutputSettings outputs;
  std::string output;  // a folder; empty: standard output
  ReadOptions read;
  EngineOptions engine;
  bool resume = false;
  Shard shard;
  int retries = 1;
  bool stats = false;
  bool progress = true;
};

struct ForwardArguments {
  ModelArguments model;
  std::vector<std::string> files;
  ImageOptions image;
  std::string prompt;
  int top = 5;
  std::string dump;  // a folder; empty: none
  bool json = false;
};

struct InfoArguments {
  ModelArguments model;
  bool json = false;
};

struct TokenizeArguments {
  ModelArguments model;
  std::string text;
  std::vector<TokenId> decode;  // not empty: these ids are decoded
  bool match_added = false;
  bool ids_only = false;
  bool json = false;
};

struct SelftestArguments {
  ModelArguments model;
};

struct BenchArguments {
  BenchOptions options;
  bool json = false;
};

struct QuantizeArguments {
  std::string from, to;  // snapshot folders; `from` may be a hub name
};

enum class LayoutFormat { json, png };

struct LayoutArguments {
  ModelArguments model;  // empty path: default_layout_model_path()
  std::vector<std::string> files;
  ImageOptions image;
  double dpi = 200;      // of PDF pages
  std::string password;  // of PDF files
  PageRanges pages;
  float threshold = 0.3f;
  bool raw = false;  // what the network's own post-processing gives
  LayoutFormat format = LayoutFormat::json;
  std::string output;  // a file or a folder; empty: standard output
  std::string dump;    // a folder; empty: none
};

struct Arguments {
  std::variant<ReadArguments, ForwardArguments, InfoArguments, TokenizeArguments, SelftestArguments,
               ParseArguments, LayoutArguments, BenchArguments, QuantizeArguments>
      command;
  Verbosity verbosity = Verbosity::normal;
};

// Parses a command line, and reads the files that it names in --files-from, --schema and tokenize --file.
// Prints and returns nothing for --help and --version. Throws Error{usage}, with a suggestion for a mistyped
// option, and Error{input} for a file that cannot be read.
std::optional<Arguments> parse_arguments(int argc, const char* const* argv);

// The commands. They return the exit code, and throw Error for what ends the whole command.
int run_read(const ReadArguments& given, Console& console);
int run_forward(const ForwardArguments& arguments, Console& console);
int run_info(const InfoArguments& arguments);
int run_tokenize(const TokenizeArguments& arguments);
int run_selftest(const SelftestArguments& arguments, Console& console);
int run_parse(const ParseArguments& arguments, Console& console);
int run_layout(const LayoutArguments& arguments, Console& console);
int run_bench(const BenchArguments& arguments, Console& console);
int run_quantize(const QuantizeArguments& arguments, Console& console);

// Loads the model that --model names, or the default model.
Model load_model(const ModelArguments& arguments);

// Prints the exception that is being handled and returns its exit code.
int report_failure(Console& console);

}  // namespace glmocr::cli
