// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <chrono>

#include "cli/option_groups.h"
#include "cli/option_parsers.h"
#include "cli/standard_streams.h"

namespace glmocr::cli {
namespace {

void add_inputs(CLI::App& app, ReadArguments& arguments, ReadInputs& inputs) {
  const char* group = "Input";
  add_input_options(app, "FILE", arguments.files, inputs.input);
  add_page_options(app, arguments.pages, arguments.dpi);
  add_password_option(app, inputs.input);
  add_image_options(app, arguments.image, group);
  app.add_flag_callback(
         "--no-enlarge", [&arguments] { arguments.options.enlarge_small_print = false; },
         "do not enlarge small print, as the embedded model\nasks for: faster, and less accurate")
      ->group(group);
}

void add_outputs(CLI::App& app, ReadArguments& arguments, ReadInputs& inputs) {
  const char* group = "Output";
  auto* format = add_choice<OutputFormat>(
      app, "-f,--format", arguments.format,
      {{"text", OutputFormat::text}, {"json", OutputFormat::json}, {"jsonl", OutputFormat::jsonl}},
      "text (default); json: an object, or an array for\nseveral pictures or pages; jsonl: one object per "
      "line");
  format->group(group);
  auto* output = app.add_option("-o,--output", arguments.output,
                                "write to a file, or into a folder (one that exists or\nends in /) as "
                                "NAME.FORMAT for each input; a file is written\nas a whole or not at all")
                     ->option_text("FILE|DIR")
                     ->check(not_empty())
                     ->group(group);
  app.add_flag("--stream", arguments.stream, "print text as it is generated, not with --output")
      ->excludes(output)
      ->group(group);
  app.add_option(
         "--logprobs", inputs.logprobs,
         "log-probabilities of the tokens in JSON, with the N\nmost probable alternatives of each (0: none)")
      ->option_text("N")
      ->check(between(0, kMaxLogprobs))
      ->group(group);
  app.add_flag("--stats", arguments.stats, "sizes, times, speed and memory on standard error")->group(group);
  app.add_flag("--no-progress", inputs.no_progress, "no progress bar on a terminal")->group("Messages");
}

void add_generation(CLI::App& app, ReadArguments& arguments, ReadInputs& inputs) {
  const char* group = "Generation (greedy by default)";
  SamplingParams& sampling = arguments.options.sampling;
  const auto add = [&](const char* name, auto& target, CLI::Validator check, const char* text,
                       const char* what) {
    app.add_option(name, target, what)->option_text(text)->check(check)->group(group);
  };
  add("--max-tokens", arguments.options.max_tokens, between(1, 0x1p31 - 1), "N",
      "the longest text (default 8192)");
  add("--time-limit", inputs.seconds, between(0.001, 1e9), "SECONDS",
      "the longest time for one picture from when it is\nbegun, beside others; its text so far is written, "
      "and\nit counts as failed");
  add("--temperature", sampling.temperature, between(0, 100), "X",
      "0 (default): always the most probable token");
  add("--top-p", sampling.top_p, between(0, 1), "X", "among the most probable tokens that sum to X (1)");
  add("--top-k", sampling.top_k, between(0, 0x1p31 - 1), "N", "among the N most probable tokens (0: all)");
  add("--min-p", sampling.min_p, between(0, 1), "X", "among tokens X times as probable as the best (0)");
  add("--repetition-penalty", sampling.repetition_penalty, between(0.01, 100), "X",
      "above 1: less repetition (1)");
  add("--seed", sampling.seed, between(0, 0x1p64), "N", "seed of the random numbers (default 0)");
  app.add_option("--stop", arguments.options.stop, "end before TEXT; may be given several times")
      ->option_text("TEXT")
      ->allow_extra_args(false)
      ->check(not_empty())
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->group(group);
  add_choice<bool>(app, "--guard", arguments.options.guard, {{"on", true}, {"off", false}},
                   "on (default): cut a text that repeats itself more\noften than the picture has room for")
      ->group(group);
  add("--batch", arguments.engine.max_sequences, between(1, 1024), "N", "pictures read at once (default 32)");
  app.add_flag("--allow-control-tokens", arguments.options.allow_control_tokens,
               "match control tokens written in --prompt")
      ->group(group);
}

}  // namespace

void add_read_options(CLI::App& app, ReadArguments& arguments, ReadInputs& inputs) {
  add_inputs(app, arguments, inputs);
  add_prompt_options(app, arguments.options, inputs.schema_file);
  add_outputs(app, arguments, inputs);
  add_model_options(app, arguments.model, DeviceUse::several);
  add_generation(app, arguments, inputs);
}

void finish_read(ReadArguments& arguments, const ReadInputs& inputs) {
  const bool text = arguments.format == OutputFormat::text;
  if (arguments.stream && !text) fail(ErrorCode::usage, "--stream needs --format text");
  if (inputs.logprobs && text) fail(ErrorCode::usage, "--logprobs needs --format json or jsonl");
  add_listed_files(arguments.files, inputs.input);
  if (arguments.files.empty()) fail(ErrorCode::usage, "no picture given; usage: glm-ocr [OPTIONS] FILE...");
  arguments.password = read_password(inputs.input);
  arguments.options.schema = read_schema(arguments.options.task, inputs.schema_file);
  arguments.logprobs = inputs.logprobs.has_value();
  arguments.options.sampling.logprobs = inputs.logprobs.value_or(0);
  arguments.progress = !inputs.no_progress;
  if (inputs.seconds) {
    arguments.options.time_limit = std::chrono::duration_cast<std::chrono::steady_clock::duration>(
        std::chrono::duration<double>(*inputs.seconds));
  }
}

}  // namespace glmocr::cli
