// SPDX-License-Identifier: Apache-2.0
#include "cli/bench_options.h"

#include <vector>

#include "base/error.h"
#include "cli/option_groups.h"
#include "cli/option_parsers.h"

namespace glmocr::cli {
namespace {

// An option that is a list; "none": empty.
template <class T, class Parse>
void add_list(CLI::App& app, const std::string& name, std::vector<T>& target, Parse parse,
              const std::string& description) {
  const auto parse_all = [parse](const std::string& text) {
    std::vector<T> values;
    if (text == "none") return values;
    for (const std::string& word : split_list(text)) values.push_back(parse(word));
    return values;
  };
  add_parsed(app, name, target, parse_all, description)->option_text("LIST")->group("What to measure");
}

BenchPicture parse_picture(const std::string& text) {
  const auto x = text.find('x');
  if (x == std::string::npos) fail(ErrorCode::usage, cat("\"", text, "\" is no size such as 560x560"));
  return {parse_count(text.substr(0, x)), parse_count(text.substr(x + 1))};
}

}  // namespace

void add_bench_options(CLI::App& app, BenchArguments& arguments, BenchInputs& inputs) {
  BenchOptions& options = arguments.options;
  add_list(app, "--pictures", options.pictures, parse_picture,
           "pixels of pictures (default 560x560,1120x812); none");
  add_list(app, "--prompts", options.prompts, parse_count, "tokens of prompts (default 1000); none");
  add_list(app, "--sequences", options.sequences, parse_count,
           "sequences that are decoded together (default 1,8);\nnone");
  add_list(app, "--contexts", options.contexts, parse_count,
           "tokens before the first one decoded (default 150)");
  const char* group = "How to measure";
  app.add_option("--tokens", options.tokens, "decoded per sequence and run (default 16)")
      ->option_text("N")
      ->check(between(1, 1 << 16))
      ->group(group);
  app.add_option("--runs", options.runs,
                 "of each case, after one that does not count; the\nmedian is shown (default 5)")
      ->option_text("N")
      ->check(between(1, 1 << 16))
      ->group(group);
  add_choice<Clock>(
      app, "--clock", inputs.clock, {{"wall", Clock::wall}, {"processor", Clock::processor}},
      "processor: processor time, each thread's share of it,\nwhere others run on the machine (CPUs only)")
      ->group(group);
  app.add_flag("--no-peaks", inputs.no_peaks, "do not measure what the machine can do")->group(group);
  app.add_flag("--json", arguments.json, "print a JSON object")->group("Output");
  auto* synthetic =
      app.add_flag("--synthetic", inputs.synthetic, "random weights of the published sizes, no file")
          ->group("Model and machine");
  app.add_flag("--synthetic-small", inputs.small, "random weights of a tiny model, to try the command")
      ->excludes(synthetic)
      ->group("Model and machine");
  add_model_options(app, inputs.model);
  app.get_option("--model")->excludes(synthetic)->excludes(app.get_option("--synthetic-small"));
}

void finish_bench(BenchArguments& arguments, const BenchInputs& inputs) {
  BenchOptions& options = arguments.options;
  options.load = inputs.model.load;
  options.peaks = !inputs.no_peaks;
  options.processor_time = inputs.clock == Clock::processor;
  options.weights = inputs.synthetic ? BenchWeights::published
                    : inputs.small   ? BenchWeights::small
                                     : BenchWeights::snapshot;
  if (options.weights == BenchWeights::snapshot) options.model = inputs.model.path;
}

}  // namespace glmocr::cli
