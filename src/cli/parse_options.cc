// SPDX-License-Identifier: Apache-2.0
#include "cli/parse_options.h"

#include <algorithm>
#include <chrono>

#include "cli/option_groups.h"
#include "cli/option_parsers.h"

namespace glmocr::cli {
namespace {

void add_inputs(CLI::App& app, ParseArguments& arguments, ParseInputs& inputs) {
  const char* group = "Input";
  add_input_options(app, "INPUT", arguments.files, inputs.input);
  add_page_options(app, arguments.pages, arguments.dpi);
  add_password_option(app, inputs.input);
  add_choice<TextLayerUse>(
      app, "--text-layer", arguments.text_layer,
      {{"auto", TextLayerUse::automatic}, {"off", TextLayerUse::off}, {"only", TextLayerUse::only}},
      "the text that PDF files hold themselves: auto (default)\nuses it where it agrees "
      "with what is visible, off reads\nthe picture, only reads nothing")
      ->group(group);
  add_image_options(app, arguments.image, group);
}

void add_regions(CLI::App& app, ParseArguments& arguments) {
  const char* group = "Regions";
  add_choice<RegionSource>(app, "--regions", arguments.regions,
                           {{"auto", RegionSource::automatic},
                            {"detector", RegionSource::detector},
                            {"classical", RegionSource::classical},
                            {"page", RegionSource::page}},
                           "how a page is divided: auto (default) by white space\nand rules, with the layout "
                           "model's labels; by that "
                           "model\nalone; without it; or not at all")
      ->group(group);
  app.add_option("--layout-model", arguments.layout_model,
                 "the layout model; default: GLMOCR_LAYOUT_MODEL, else\nthe embedded one")
      ->option_text("DIR|NAME")
      ->group(group);
  app.add_option("--threshold", arguments.threshold, "the least score of a region (default 0.3)")
      ->option_text("X")
      ->check(between(0, 1))
      ->group(group);
  app.add_flag_callback(
         "--no-turn", [&arguments] { arguments.turn_pages = false; },
         "do not turn pages that lie on their side or are askew")
      ->group(group);
}

void add_outputs(CLI::App& app, ParseArguments& arguments, ParseInputs& inputs) {
  const char* group = "Output";
  app.add_option(
         "-f,--format", inputs.formats,
         "md (default), json, jsonl, html, txt, hocr, alto, pdf\n(the pages with invisible text), layout "
         "(the pages with\nboxes); several, separated by commas, with -o")
      ->option_text("LIST")
      ->delimiter(',')
      ->allow_extra_args(false)  // what follows is an input
      ->group(group);
  app.add_option("-o,--output", arguments.output,
                 "a folder, made if necessary: DIR/NAME.FORMAT for each\ninput NAME, with pictures in "
                 "DIR/NAME.imgs; default:\none format of one input on standard output")
      ->option_text("DIR")
      ->check(not_empty())
      ->group(group);
  add_choice<bool>(app, "--compat", inputs.compat, {{"sdk", true}},
                   "sdk: the files and bytes of the official SDK's\nformatter (DIR/NAME/NAME.md, .json, "
                   "_model.json, imgs)")
      ->group(group);
  add_choice<formats::Furniture>(
      app, "--furniture", arguments.outputs.furniture,
      {{"drop", formats::Furniture::drop},
       {"keep", formats::Furniture::keep},
       {"apart", formats::Furniture::apart}},
      "headers, footers, page numbers: drop (default) does not\nread them, keep writes "
      "them where they stand, apart\nbehind the text of their page")
      ->group(group);
  app.add_flag("--page-breaks", arguments.outputs.page_breaks, "mark where pages begin")->group(group);
  app.add_flag("--join-tables", arguments.outputs.join_tables, "join tables that go on over pages")
      ->group(group);
  app.add_flag("--stats", arguments.stats, "pages, times and memory on standard error")->group(group);
  app.add_flag("--no-progress", inputs.no_progress, "no progress bar on a terminal")->group("Messages");
}

void add_job(CLI::App& app, ParseArguments& arguments, ParseInputs& inputs) {
  const char* group = "Jobs";
  app.add_flag(
         "--resume", arguments.resume,
         "go on with what an earlier run into the same folder\nhas left; pages that are finished are not "
         "read again")
      ->group(group);
  add_parsed(
      app, "--shard", arguments.shard, Shard::parse,
      "only part I of N of the inputs, 0 ≤ I < N, for several\nmachines with the same inputs and folder")
      ->option_text("I/N")
      ->group(group);
  app.add_option("--retries", arguments.retries,
                 "how often a page that failed is read again, but not one\nbeyond --time-limit or whose file "
                 "is broken (default 1)")
      ->option_text("N")
      ->check(between(0, 100))
      ->group(group);
  app.add_option(
         "--time-limit", inputs.seconds,
         "the longest time for one region from when it is begun,\nbeside others; its page counts as failed")
      ->option_text("SECONDS")
      ->check(between(0.001, 1e9))
      ->group(group);
  app.add_option("--max-tokens", arguments.read.max_tokens, "the longest text of a region (default 8192)")
      ->option_text("N")
      ->check(between(1, 0x1p31 - 1))
      ->group(group);
  app.add_option("--batch", arguments.engine.max_sequences, "regions read at once (default 32)")
      ->option_text("N")
      ->check(between(1, 1024))
      ->group(group);
}

OutputKind kind_of(const std::string& name) {
  std::vector<std::string> names;
  for (const OutputKind kind : all_output_kinds()) {
    if (to_string(kind) == name) return kind;
    names.push_back(to_string(kind));
  }
  fail(ErrorCode::usage, cat("--format: \"", name, "\" is none of ", join(names, ", ")));
}

void finish_outputs(ParseArguments& arguments, const ParseInputs& inputs) {
  OutputSettings& outputs = arguments.outputs;
  outputs.compat = inputs.compat;
  if (!inputs.formats.empty()) outputs.kinds.clear();
  for (const std::string& name : inputs.formats) {
    const OutputKind kind = kind_of(name);
    if (!outputs.has(kind)) outputs.kinds.push_back(kind);
  }
  if (!arguments.output.empty()) return;
  if (outputs.kinds.size() > 1) fail(ErrorCode::usage, "several formats need a folder: --output DIR");
  if (outputs.has(OutputKind::layout)) fail(ErrorCode::usage, "--format layout needs a folder: --output DIR");
  if (arguments.resume || arguments.shard.count > 1)
    fail(ErrorCode::usage, "--resume and --shard need a folder: --output DIR");
}

}  // namespace

void add_parse_options(CLI::App& app, ParseArguments& arguments, ParseInputs& inputs) {
  add_inputs(app, arguments, inputs);
  add_regions(app, arguments);
  add_outputs(app, arguments, inputs);
  add_job(app, arguments, inputs);
  add_model_options(app, arguments.model, DeviceUse::several);
}

void finish_parse(ParseArguments& arguments, const ParseInputs& inputs) {
  add_listed_files(arguments.files, inputs.input);
  if (arguments.files.empty())
    fail(ErrorCode::usage, "no input given; usage: glm-ocr parse [OPTIONS] INPUT...");
  const bool without_model =
      arguments.regions == RegionSource::classical || arguments.regions == RegionSource::page;
  if (without_model && !arguments.layout_model.empty()) {
    fail(ErrorCode::usage,
         cat("--layout-model is not used with --regions ",
             arguments.regions == RegionSource::page ? "page" : "classical", ": leave out one of them"));
  }
  finish_outputs(arguments, inputs);
  arguments.password = read_password(inputs.input);
  arguments.progress = !inputs.no_progress;
  if (inputs.seconds) {
    arguments.read.time_limit = std::chrono::duration_cast<std::chrono::steady_clock::duration>(
        std::chrono::duration<double>(*inputs.seconds));
  }
}

}  // namespace glmocr::cli
