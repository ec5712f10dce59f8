// SPDX-License-Identifier: Apache-2.0
#include <new>
#include <system_error>
#include <variant>

#include "base/error.h"
#include "cli/arguments.h"
#include "cli/exit_code.h"
#include "cli/signals.h"
#include "cli/standard_streams.h"

namespace glmocr::cli {
namespace {

void show_log(Console& console, LogLevel level, const std::string& message) {
  if (level == LogLevel::error) console.error(message);
  if (level == LogLevel::warning) console.warning(message);
  if (level == LogLevel::info) console.note(message);
  if (level == LogLevel::debug && console.verbosity() == Verbosity::debug) console.note(message);
}

struct Run {
  Console& console;
  int operator()(const ReadArguments& arguments) const { return run_read(arguments, console); }
  int operator()(const ForwardArguments& arguments) const { return run_forward(arguments, console); }
  int operator()(const InfoArguments& arguments) const { return run_info(arguments); }
  int operator()(const TokenizeArguments& arguments) const { return run_tokenize(arguments); }
  int operator()(const SelftestArguments& arguments) const { return run_selftest(arguments, console); }
  int operator()(const ParseArguments& arguments) const { return run_parse(arguments, console); }
  int operator()(const LayoutArguments& arguments) const { return run_layout(arguments, console); }
  int operator()(const BenchArguments& arguments) const { return run_bench(arguments, console); }
  int operator()(const QuantizeArguments& arguments) const { return run_quantize(arguments, console); }
};

int run(int argc, const char* const* argv, Console& console) {
  try {
    const std::optional<Arguments> arguments = parse_arguments(argc, argv);
    if (!arguments) return kOk;
    console.set_verbosity(arguments->verbosity);
    set_log_sink(
        [&console](LogLevel level, const std::string& message) { show_log(console, level, message); });
    return std::visit(Run{console}, arguments->command);
  } catch (...) {
    return report_failure(console);
  }
}

}  // namespace

int report_failure(Console& console) {
  try {
    throw;
  } catch (const OutputClosed&) {
    return kOutputClosed;
  } catch (const OutputError& error) {
    console.error(error.what());
    return kSomeFailed;
  } catch (const Error& error) {
    console.error(error.what());
    if (error.code() == ErrorCode::usage) console.error("\"glm-ocr --help\" lists commands and options");
    return exit_code(error.code());
  } catch (const std::bad_alloc&) {
    console.error("not enough memory");
    return kOutOfMemory;
  } catch (const std::system_error& error) {
    const bool threads = error.code() == std::errc::resource_unavailable_try_again;
    console.error(cat(threads ? "a thread cannot be started: " : "internal error: ", error.code().message()));
    return threads ? kDeviceUnusable : kInternal;
  } catch (const std::exception& error) {
    console.error(cat("internal error: ", error.what()));
    return kInternal;
  }
}

Model load_model(const ModelArguments& arguments) {
  return Model::load(arguments.path.empty() ? default_model_path() : arguments.path, arguments.load);
}

}  // namespace glmocr::cli

int main(int argc, char** argv) {
  glmocr::cli::keep_standard_streams_open();
  glmocr::cli::handle_lost_files();
  glmocr::cli::Console console;
  const int code = glmocr::cli::run(argc, argv, console);
  glmocr::set_log_sink({});  // threads of the library may outlive the console
  return code;
}
