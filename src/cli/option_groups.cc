// SPDX-License-Identifier: Apache-2.0
#include "cli/option_groups.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>

#include "base/mapped_file.h"
#include "cli/option_parsers.h"
#include "cli/standard_streams.h"

namespace glmocr::cli {

namespace {

// A bound of a range with all its digits, where it is a whole number.
std::string plain(double bound) {
  return bound == std::floor(bound) && bound < 0x1p63 ? cat(static_cast<std::int64_t>(bound)) : cat(bound);
}

}  // namespace

CLI::Validator between(double low, double high) {
  const auto check = [low, high](const std::string& text) -> std::string {
    char* end = nullptr;
    const double value = std::strtod(text.c_str(), &end);
    if (text.empty() || *end != '\0' || std::isnan(value)) return cat("\"", text, "\" is not a number");
    if (value >= low && value <= high) return "";
    return cat(text, " is out of range, expected ", plain(low), " to ", plain(high));
  };
  return CLI::Validator(check, "");
}

CLI::Validator not_empty() {
  return CLI::Validator([](const std::string& text) { return text.empty() ? "is empty" : ""; }, "");
}

Verbosity MessageOptions::verbosity() const {
  if (quiet) return Verbosity::quiet;
  if (verbose > 1) return Verbosity::debug;
  return verbose == 1 ? Verbosity::verbose : Verbosity::normal;
}

void add_message_options(CLI::App& app, MessageOptions& options) {
  const char* group = "Messages";
  auto* quiet =
      app.add_flag("-q,--quiet", options.quiet, "no progress bar, no statistics; still warnings and errors");
  app.add_flag("-v,--verbose", options.verbose, "say what is being done; twice: in detail")
      ->excludes(quiet)
      ->group(group);
  quiet->group(group);
  app.add_flag_callback(
         "--version", [] { throw CLI::CallForVersion("", 0); }, "the version of the program")
      ->group(group);
}

namespace {

// What a command says of its options.
struct MachineHelp {
  std::string device, dtype, memory;
};

constexpr const char* kOneDevice =
    "cpu (default), auto (a GPU where there is one, else\ncpu), cuda:0, cpu:avx2, ref, ...; \"glm-ocr info\" "
    "lists\nthe available ones";

// --device, --dtype, --threads, --memory
void add_machine_options(CLI::App& app, ModelArguments& arguments, const char* group,
                         const MachineHelp& help) {
  app.add_option("--device", arguments.load.device, help.device)->option_text("DEVICE")->group(group);
  add_choice<ComputeType>(
      app, "--dtype", arguments.load.dtype,
      {{"auto", ComputeType::automatic}, {"fp32", ComputeType::fp32}, {"bf16", ComputeType::bf16}},
      help.dtype)
      ->group(group);
  app.add_option("-t,--threads", arguments.load.threads, "default: as many as the process may use")
      ->option_text("N")
      ->check(between(1, 1024))
      ->group(group);
  add_parsed(app, "--memory", arguments.load.memory_limit, parse_size, help.memory)
      ->option_text("SIZE")
      ->group(group);
}

}  // namespace

void add_model_options(CLI::App& app, ModelArguments& arguments, DeviceUse devices) {
  const char* group = "Model and machine";
  app.add_option("-m,--model", arguments.path,
                 "a snapshot folder, or a hub name (org/name,\norg/name@revision) in the local Hugging Face "
                 "cache;\ndefault: GLMOCR_MODEL, else the embedded small model")
      ->option_text("DIR|NAME")
      ->check(not_empty())
      ->group(group);
  add_machine_options(
      app, arguments, group,
      {.device = cat(kOneDevice, devices == DeviceUse::several ? "; cuda:0,cuda:1,... read together" : ""),
       .dtype =
           "the type to compute in; auto (default): bf16 where\nthe processor computes it faster, else fp32",
       .memory =
           "memory for everything but weights used where their\nfile is mapped: converted weights, keys "
           "and values,\npicture features, workspace and waiting pictures;\nsuch as 2G, on each device "
           "(default: no limit)"});
  add_choice<Quantization>(
      app, "--quantize", arguments.load.quantization,
      {{"none", Quantization::none}, {"int8", Quantization::int8}},
      "int8: weights of products in eight bits, made at load\n(CPU): half the memory, faster, less "
      "exact; none\n(default): as they are stored")
      ->group(group);
}

void add_layout_model_options(CLI::App& app, ModelArguments& arguments) {
  const char* group = "Model and machine";
  app.add_option(
         "--layout-model", arguments.path,
         "a snapshot folder of PP-DocLayoutV3, or a hub name\n(org/name, org/name@revision) in the local "
         "Hugging\nFace cache; default: GLMOCR_LAYOUT_MODEL, else the\nembedded small model")
      ->option_text("DIR|NAME")
      ->check(not_empty())
      ->group(group);
  add_machine_options(
      app, arguments, group,
      {.device = kOneDevice,
       .dtype = "the type to compute in; auto (default): fp32, on a\ncard with products of sixteen bits",
       .memory = "memory for the network: converted weights and\nworkspace, such as 2G (default: no limit)"});
}

void add_image_options(CLI::App& app, ImageOptions& options, const std::string& group) {
  app.add_option("--max-pixels", options.max_pixels, "refuse larger pictures (default 268435456)")
      ->option_text("N")
      ->check(between(1, 0x1p40))
      ->group(group);
  add_parsed(app, "--picture-memory", options.picture_memory, parse_size,
             "refuse pictures that take more to decode: file, pixels\nand coefficients (default 416M)")
      ->option_text("SIZE")
      ->group(group);
  add_parsed(app, "--background", options.background, parse_colour,
             "put transparent pixels on white, black or #rrggbb\n(default: transparency is ignored)")
      ->option_text("COLOUR")
      ->group(group);
}

void add_prompt_options(CLI::App& app, ReadOptions& options, std::string& schema_file) {
  const char* group = "Task";
  auto* task = add_choice<Task>(app, "--task", options.task,
                                {{"text", Task::text},
                                 {"table", Task::table},
                                 {"formula", Task::formula},
                                 {"extract", Task::extract}},
                                "what to read (default text)")
                   ->group(group);
  auto* schema = app.add_option("--schema", schema_file,
                                "for --task extract: a JSON template whose values\nare empty strings")
                     ->option_text("FILE")
                     ->group(group);
  app.add_option("--prompt", options.prompt, "a prompt of your own instead of the task's")
      ->option_text("TEXT")
      ->excludes(task)
      ->excludes(schema)
      ->group(group);
}

std::string read_schema(Task task, const std::string& schema_file) {
  if (task != Task::extract) {
    if (!schema_file.empty()) fail(ErrorCode::usage, "--schema needs --task extract");
    return "";
  }
  if (schema_file.empty()) fail(ErrorCode::usage, "--task extract needs --schema FILE");
  std::string text = read_file(schema_file);
  try {
    task_prompt(task, text);
  } catch (const Error& error) {
    fail(error.code(), cat(schema_file, ": ", error.what()));
  }
  return text;
}

void add_input_options(CLI::App& app, const std::string& name, std::vector<std::string>& files,
                       InputFiles& inputs) {
  const char* group = "Input";
  app.add_option(name, files,
                 "pictures, PDF files, and folders with all that is in\nthem; - is standard input")
      ->option_text("...");
  auto* list = app.add_option("--files-from", inputs.list_file,
                              "also read the files that FILE names, one per line;\n- is standard input")
                   ->option_text("FILE")
                   ->check(not_empty())
                   ->group(group);
  app.add_flag("-0,--null", inputs.null_separated, "names in --files-from end with NUL, not a newline")
      ->needs(list)
      ->group(group);
}

void add_page_options(CLI::App& app, PageRanges& pages, double& dpi) {
  const char* group = "Input";
  add_parsed(app, "--pages", pages, PageRanges::parse,
             "only these pages of PDF and TIFF files, from 1:\nfor example 1,3-5,8-")
      ->option_text("LIST")
      ->group(group);
  app.add_option("--dpi", dpi,
                 "pixels per inch of PDF pages (default 200); the longer\nside has at most 3500 pixels")
      ->option_text("N")
      ->check(between(1, 2400))
      ->group(group);
}

void add_password_option(CLI::App& app, InputFiles& inputs) {
  app.add_option("--password-file", inputs.password_file,
                 "the password of encrypted PDF files: the first line\nof FILE")
      ->option_text("FILE")
      ->check(not_empty())
      ->group("Input");
}

void add_listed_files(std::vector<std::string>& files, const InputFiles& inputs) {
  const std::string& list_file = inputs.list_file;
  const auto check_standard_input = [&] {
    const auto uses = std::count(files.begin(), files.end(), "-") + (list_file == "-" ? 1 : 0);
    if (uses > 1) fail(ErrorCode::usage, "standard input (-) can be read only once");
  };
  check_standard_input();
  if (list_file.empty()) return;
  const std::string list = list_file == "-" ? read_standard_input() : read_file(list_file);
  const std::vector<std::string> names = parse_name_list(list, inputs.null_separated);
  if (names.empty()) {
    const std::string name = list_file == "-" ? "standard input" : list_file;
    fail(ErrorCode::input, cat(name, ": the list names no picture"));
  }
  files.insert(files.end(), names.begin(), names.end());
  check_standard_input();
}

std::string read_password(const InputFiles& inputs) {
  const std::string& file = inputs.password_file;
  if (file.empty()) return "";
  std::string line = read_file(file);
  line.resize(std::min(line.find('\n'), line.size()));
  if (line.ends_with('\r')) line.pop_back();
  if (line.empty()) fail(ErrorCode::input, cat(file, ": the first line, which is the password, is empty"));
  return line;
}

}  // namespace glmocr::cli
