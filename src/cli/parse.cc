// SPDX-License-Identifier: Apache-2.0
#include <malloc.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "base/error.h"
#include "cli/arguments.h"
#include "cli/exit_code.h"
#include "cli/parse_report.h"
#include "cli/progress.h"
#include "cli/signals.h"
#include "cli/standard_streams.h"
#include "document/page.h"
#include "document/page_queue.h"
#include "jobs/job_folder.h"
#include "jobs/model_content.h"

namespace glmocr::cli {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

const char* name_of(TextLayerUse use) {
  if (use == TextLayerUse::off) return "off";
  return use == TextLayerUse::only ? "only" : "auto";
}

// The layout model to be used; "": none.
std::string layout_path(const ParseArguments& arguments) {
  if (arguments.regions == RegionSource::classical || arguments.regions == RegionSource::page) return "";
  if (!arguments.layout_model.empty()) return arguments.layout_model;
  try {
    return default_layout_model_path();
  } catch (const Error&) {
    if (arguments.regions == RegionSource::detector) throw;
    return "";
  }
}

// On the model's device. Where a card has no room for both, on the processor.
std::optional<LayoutModel> load_layout(const ParseArguments& arguments, const std::string& path,
                                       Console& console) {
  if (path.empty()) return std::nullopt;
  LoadOptions load = arguments.model.load;
  load.dtype = ComputeType::automatic;
  load.device = load.device == "auto" ? devices().front() : load.device.substr(0, load.device.find(','));
  const bool on_card = load.device.starts_with("cuda");
  if (!on_card) load.memory_limit = 0;
  try {
    return LayoutModel::load(path, load);
  } catch (const Error& error) {
    if (!on_card || error.code() != ErrorCode::memory) throw;
    console.warning(cat("the layout model runs on the processor: ", error.what()));
  }
  load.device = "cpu";
  load.memory_limit = 0;
  return LayoutModel::load(path, load);
}

// The memory of a card is that of both models.
ModelArguments beside(ModelArguments arguments, const std::optional<LayoutModel>& layout) {
  std::int64_t& limit = arguments.load.memory_limit;
  if (limit > 0 && layout && layout->device().starts_with("cuda")) {
    limit = std::max<std::int64_t>(1, limit - layout->memory_bytes());
  }
  return arguments;
}

RegionFinder region_finder(const ParseArguments& arguments, const std::optional<LayoutModel>& layout) {
  if (arguments.regions == RegionSource::page) return whole_page_region();
  if (!layout) return classical_regions();
  const LayoutOptions options{.threshold = arguments.threshold};
  if (arguments.regions == RegionSource::detector || arguments.outputs.compat)
    return detected_regions(*layout, options, arguments.outputs.compat);
  return labelled_regions(*layout, options);
}

std::string background_of(const ImageOptions& options) {
  if (!options.background) return "none";
  const auto& [red, green, blue] = *options.background;
  return cat(int{red}, ",", int{green}, ",", int{blue});
}

// What --resume compares. `layout`: the folder of its model; empty: none.
JobOptions job_options(const ParseArguments& arguments, const std::string& model, const std::string& layout) {
  std::vector<std::string> kinds;
  for (const OutputKind kind : arguments.outputs.kinds) kinds.push_back(to_string(kind));
  const auto flag = [](bool value) { return value ? "yes" : "no"; };
  return {{"version", std::string(version())},
          {"model", model},
          {"model's content", model_content(model)},
          {"layout model", layout},
          {"layout model's content", layout.empty() ? "" : model_content(layout)},
          {"--quantize", arguments.model.load.quantization == Quantization::int8 ? "int8" : "none"},
          {"--dtype", cat(static_cast<int>(arguments.model.load.dtype))},
          {"--regions", cat(static_cast<int>(arguments.regions))},
          {"--threshold", cat(arguments.threshold)},
          {"--format", join(kinds, ",")},
          {"--compat", flag(arguments.outputs.compat)},
          {"--furniture", cat(static_cast<int>(arguments.outputs.furniture))},
          {"--page-breaks", flag(arguments.outputs.page_breaks)},
          {"--join-tables", flag(arguments.outputs.join_tables)},
          {"--pages", arguments.pages.text()},
          {"--dpi", cat(arguments.dpi)},
          {"--background", background_of(arguments.image)},
          {"--text-layer", name_of(arguments.text_layer)},
          {"--no-turn", flag(!arguments.turn_pages)},
          {"--max-tokens", cat(arguments.read.max_tokens)}};
}

DocumentOptions document_options(const ParseArguments& arguments) {
  DocumentOptions options;
  options.image = arguments.image;
  options.pdf.dpi = arguments.dpi;
  options.pdf.password = arguments.password;
  options.pages = arguments.pages;
  return options;
}

// Where the pages of documents go.
class ParseTarget {
 public:
  virtual ~ParseTarget() = default;
  // The pages of a document that an earlier run has read.
  virtual std::set<std::int64_t> read_before(const JobInput& input) = 0;
  // `final`: a page that failed is not read again in this run.
  virtual void add(const JobInput& input, const ReadPage& page, bool final) = 0;
  // All pages of the document have come.
  virtual void finish(const JobInput& input) = 0;
  // The run ends before that.
  virtual void interrupt(const JobInput& input) = 0;
};

// One document, on standard output, when it is complete.
class StreamTarget : public ParseTarget {
 public:
  StreamTarget(const ParseArguments& arguments, Console& console)
      : arguments_(arguments), console_(console) {}

  std::set<std::int64_t> read_before(const JobInput&) override { return {}; }
  void add(const JobInput&, const ReadPage& page, bool) override { journal_.add(page.page); }
  void finish(const JobInput& input) override {
    if (journal_.pages() == journal_.unread_pages()) return;
    const auto document = [&] { return open_document(input.path, document_options(arguments_)); };
    write_document(arguments_.outputs.kinds.front(), journal_, input.path, arguments_.outputs, "", document,
                   [&](std::string_view piece) {
                     console_.clear_status();
                     write_standard_output(piece);
                   });
  }
  // Nothing is kept of a run without a folder, so the pages that are read are written.
  void interrupt(const JobInput& input) override {
    if (arguments_.outputs.kinds.front() != OutputKind::pdf) finish(input);
  }

 private:
  const ParseArguments& arguments_;
  Console& console_;
  PageJournal journal_;
};

// Many documents, in a folder.
class FolderTarget : public ParseTarget {
 public:
  FolderTarget(const ParseArguments& arguments, const JobOptions& options, Console& console)
      : arguments_(arguments),
        console_(console),
        job_(arguments.output, arguments.shard, options, arguments.resume) {}

  // Outputs that were deleted since are made again, which takes reading the document again.
  bool finished(const JobInput& input) const {
    return job_.finished(input) && has_outputs(OutputNames(input, arguments_.outputs), arguments_.outputs,
                                               arguments_.output, job_.pictures(input));
  }

  std::set<std::int64_t> read_before(const JobInput& input) override {
    if (!job_.has_journal(input)) return {};
    return job_.journal(input).read_pages();
  }

  void add(const JobInput& input, const ReadPage& page, bool final) override {
    write_page_pictures(page, OutputNames(input, arguments_.outputs), arguments_.outputs, arguments_.output);
    journal(input).add(page.page);
    if (final && has_failed(page.page)) job_.add_failed(page.page);
  }
  void interrupt(const JobInput&) override {}

  void finish(const JobInput& input) override {
    const PageJournal& pages = journal(input);
    const OutputNames names(input, arguments_.outputs);
    if (pages.pages() > pages.unread_pages()) {
      write_outputs(pages, input, names, arguments_.outputs, document_options(arguments_), arguments_.output);
      console_.note(
          cat(input.path, ": written to ",
              (fs::path(arguments_.output) / names.file(arguments_.outputs.kinds.front())).string()));
    }
    job_.finish(input, pages, count_pictures(names, arguments_.outputs, arguments_.output));
    open_.reset();
  }

 private:
  PageJournal& journal(const JobInput& input) {
    if (!open_ || open_->first != input.name) open_.emplace(input.name, job_.journal(input));
    return open_->second;
  }

  const ParseArguments& arguments_;
  Console& console_;
  JobFolder job_;
  std::optional<std::pair<std::string, PageJournal>> open_;
};

// A run over documents.
class ParseRun {
 public:
  ParseRun(const ParseArguments& arguments, Engine& engine, DocumentReaderOptions options,
           ParseTarget& target, ParseReport& report, Console& console)
      : arguments_(arguments),
        engine_(engine),
        options_(std::move(options)),
        target_(target),
        report_(report),
        console_(console) {}

  // Reads what the target does not have, and again what failed for another reason than the file. Returns the signal that
  // ended it, or 0.
  int read(const std::vector<JobInput>& inputs) {
    std::vector<JobInput> left = inputs;
    for (const JobInput& input : inputs) {
      settled_[input.name] = target_.read_before(input);
      report_.add_kept(settled_[input.name].size());
    }
    for (int round = 0; round <= arguments_.retries && !left.empty(); ++round) {
      if (round > 0) console_.note(cat("reading again what failed in ", left.size(), " documents"));
      again_.clear();
      if (const int signal = read_once(left, round == arguments_.retries)) return signal;
      left = std::exchange(again_, {});
    }
    return 0;
  }

 private:
  int read_once(const std::vector<JobInput>& inputs, bool last_round) {
    std::vector<std::string> files;
    for (const JobInput& input : inputs) files.push_back(input.path);
    DocumentReaderOptions options = options_;
    const std::map<std::string, std::set<std::int64_t>> settled =
        settled_;  // does not change below the reader
    options.skip = [&](std::int64_t input, std::int64_t number) {
      const std::set<std::int64_t>& pages = settled.at(inputs[input].name);
      return pages.count(number) > 0 || pages.count(0) > 0;  // 0: a picture, in whose source it is page 1
    };
    DocumentReader reader(engine_, files, std::move(options));
    const InterruptWatcher watcher(
        [&] {
          console_.note("interrupted");
          reader.cancel();
        },
        [&](const std::string& file) {
          console_.error(lost_file_message(file));
          std::_Exit(kModelUnusable);
        });
    std::optional<Progress> progress;
    if (arguments_.progress) {
      progress.emplace(console_, [&reader] {
        return ProgressState{reader.finished_pages(), reader.pages(), reader.tokens(), 0, 0};
      });
    }
    std::set<std::int64_t> finished;
    while (std::optional<ReadPage> page = reader.next()) {
      if (page->page.error && page->page.error->code() == ErrorCode::cancelled) continue;
      take(inputs[page->input], *page, last_round);
      if (!page->last || watcher.signal() != 0) continue;
      finish(inputs[page->input], last_round);
      finished.insert(page->input);
    }
    if (watcher.signal() != 0) {
      if (finished.count(std::ssize(inputs) - 1) == 0) interrupt(inputs.back());
      return watcher.signal();
    }
    // Documents of which an earlier run had read every page.
    for (std::int64_t i = 0; i < std::ssize(inputs); ++i) {
      if (finished.count(i) == 0) finish(inputs[i], last_round);
    }
    return 0;
  }

  void take(const JobInput& input, const ReadPage& page, bool last_round) {
    const bool again = !last_round && may_succeed(page.page);
    again_now_ = again_now_ || again;
    if (!again) {
      report_.add(page);
      settled_[input.name].insert(page.page.number);
    }
    try {
      target_.add(input, page, !again);
    } catch (const Error& error) {
      report_.add_unwritten(error.what());
      incomplete_.insert(input.name);
    }
  }

  void finish(const JobInput& input, bool last_round) {
    if (std::exchange(again_now_, false) && !last_round) {
      again_.push_back(input);
      return;
    }
    if (incomplete_.count(input.name) > 0) {
      report_.add_unwritten(cat(display_name(input.path), ": not written: a page could not be kept"));
      return;
    }
    const auto start = Clock::now();
    try {
      target_.finish(input);
    } catch (const Error& error) {
      report_.add_unwritten(error.what());
    }
    report_.add_write_time(std::chrono::duration<double, std::milli>(Clock::now() - start).count());
  }

  void interrupt(const JobInput& input) {
    try {
      target_.interrupt(input);
    } catch (const Error& error) {
      report_.add_unwritten(error.what());
    }
  }

  const ParseArguments& arguments_;
  Engine& engine_;
  const DocumentReaderOptions options_;
  ParseTarget& target_;
  ParseReport& report_;
  Console& console_;
  bool again_now_ = false;
  std::vector<JobInput> again_;
  std::map<std::string, std::set<std::int64_t>> settled_;  // by name: pages that are not to be read
  std::set<std::string> incomplete_;                       // names: a page of it could not be kept
};

void make_output_folder(const std::string& output) {
  std::error_code error;
  fs::create_directories(output, error);
  if (error || !fs::is_directory(output, error))
    fail(ErrorCode::usage, cat("--output ", output, ": is no folder and cannot be made one"));
}

void check_readable_twice(const JobInput& input) {
  std::error_code error;
  const fs::file_status status = fs::status(input.path, error);
  if (input.path == "-" || (fs::exists(status) && !fs::is_regular_file(status)))
    fail(
        ErrorCode::usage,
        cat("--format pdf: ", display_name(input.path),
            " can be read only once, and the document is read twice: for its text, and as the pages that are "
            "written again with it; save it as a file and name that"));
}

std::vector<JobInput> inputs_of(const ParseArguments& arguments) {
  std::vector<JobInput> inputs = list_inputs(arguments.files, arguments.output);
  check_names(inputs, arguments.outputs);
  if (arguments.outputs.has(OutputKind::pdf)) {
    for (const JobInput& input : inputs) check_readable_twice(input);
  }
  std::erase_if(inputs, [&](const JobInput& input) { return !arguments.shard.has(input.name); });
  if (arguments.output.empty() && inputs.size() > 1)
    fail(ErrorCode::usage, cat("several inputs (", inputs.size(), ") need a folder: --output DIR"));
  if (inputs.empty() && arguments.shard.count == 1)
    fail(ErrorCode::input,
         cat(arguments.files.front(), ": there are no pictures or PDF files in this folder"));
  return inputs;
}

DocumentReaderOptions reader_options(const ParseArguments& arguments, RegionFinder regions,
                                     std::int64_t decoding_memory) {
  constexpr int kRegionsOfAPage = 8;  // or more
  DocumentReaderOptions options;
  options.image = arguments.image;
  options.dpi = arguments.dpi;
  options.password = arguments.password;
  options.pages = arguments.pages.text();
  options.text_layer = arguments.text_layer;
  options.turn_pages = arguments.turn_pages;
  options.regions = std::move(regions);
  options.read_all = arguments.outputs.furniture != formats::Furniture::drop;
  options.read = arguments.read;
  options.compat_crops = arguments.outputs.compat;
  options.keep_images = !arguments.output.empty() &&
                        (arguments.outputs.has_crops() || arguments.outputs.has(OutputKind::layout));
  options.pages_ahead = std::max(2, 2 * arguments.engine.max_sequences / kRegionsOfAPage);
  options.decoding_memory = decoding_memory;
  return options;
}

// Pictures go back to the system when they are freed. The C library would raise its threshold with the first large one;
// then each thread's part of the heap keeps some of them, which took 25 MiB in a document of 1,000 pages.
void give_pictures_back() {
#ifdef __GLIBC__
  ::mallopt(M_MMAP_THRESHOLD, 128 << 10);
#endif
}

}  // namespace

int run_parse(const ParseArguments& arguments, Console& console) {
  give_pictures_back();
  if (!arguments.output.empty()) make_output_folder(arguments.output);
  std::vector<JobInput> inputs = inputs_of(arguments);
  const std::string layout_name = layout_path(arguments);
  const auto start = Clock::now();
  const std::optional<LayoutModel> layout = load_layout(arguments, layout_name, console);
  const Model model = load_model(beside(arguments.model, layout));
  const ModelInfo info = model.info();
  console.note(
      cat(info.path, " on ", info.device, " (", info.isa, "), ", info.dtype, ", ", info.threads, " threads"));
  if (layout) console.note(cat(layout->path(), " finds the regions on ", layout->device()));
  LoadingEngine loading(model, arguments.engine);
  ParseReport report(console);
  std::unique_ptr<ParseTarget> target;
  if (arguments.output.empty()) {
    target = std::make_unique<StreamTarget>(arguments, console);
  } else {
    const JobOptions options = job_options(arguments, info.path, layout ? layout->path() : "");
    auto folder = std::make_unique<FolderTarget>(arguments, options, console);
    report.add_finished(
        std::erase_if(inputs, [&](const JobInput& input) { return folder->finished(input); }));
    target = std::move(folder);
  }
  ParseRun run(arguments, *loading.engine,
               reader_options(arguments, region_finder(arguments, layout), loading.decoding_memory()),
               *target, report, console);
  if (const int signal = run.read(inputs)) {
    console.error(cat("interrupted: ", report.read(), " pages read",
                      arguments.output.empty() ? "" : "; --resume goes on from there"));
    std::_Exit(128 + signal);
  }
  if (arguments.stats) {
    const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
    console.print(report.summary(loading.engine->stats(), seconds));
  }
  return report.exit_code();
}

}  // namespace glmocr::cli
