// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <mutex>

#include "base/error.h"
#include "cli/arguments.h"
#include "cli/exit_code.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "cli/signals.h"
#include "cli/stats.h"
#include "document/page_queue.h"

namespace glmocr::cli {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

PageQueueOptions queue_options(const ReadArguments& arguments, const LoadingEngine& loading) {
  PageQueueOptions options;
  options.decoding_memory = loading.decoding_memory();
  options.image = arguments.image;
  options.pdf.dpi = arguments.dpi;
  options.pdf.password = arguments.password;
  options.pages = arguments.pages;
  options.read = arguments.options;
  options.pages_ahead = 2 * arguments.engine.max_sequences;
  options.collect_events = arguments.logprobs;
  return options;
}

// Why a text may be incomplete; "" where it is complete.
std::string doubt(const Page& page, const ReadArguments& arguments) {
  switch (page.result.finish_reason) {
    case FinishReason::length:
      return cat("the text is cut off after ", page.result.completion_tokens,
                 " tokens (--max-tokens, or the model's context)");
    case FinishReason::repetition:
      return cat("the text repeats itself more often than the picture has room for: cut after ",
                 page.result.completion_tokens, " tokens (--guard off keeps all)",
                 arguments.stream ? cat("; the last ", page.result.void_characters,
                                        " characters that were streamed are void")
                                  : std::string());
    case FinishReason::time_limit:
      return cat("the text is cut off after ", page.result.completion_tokens,
                 " tokens: --time-limit has passed");
    case FinishReason::cancelled:
      return "the text ends early: cancelled";
    case FinishReason::stop:
      break;
  }
  return "";
}

// Reports the pages of one run on standard error and counts them for the exit code.
class Report {
 public:
  Report(const ReadArguments& arguments, Console& console) : arguments_(arguments), console_(console) {}

  void add(const Page& page, Stats& stats) {
    for (const std::string& warning : page.warnings) console_.warning(about(page, warning));
    if (page.error) {
      console_.error(about(page, page.error->what()));
      if (failed_++ == 0) first_failure_ = page.error->code();
      return;
    }
    ++read_;
    const std::string text = doubt(page, arguments_);
    if (page.result.finish_reason == FinishReason::time_limit) {
      console_.error(about(page, text));
      ++failed_;
    } else if (!text.empty()) {
      console_.warning(about(page, text));
    }
    if (arguments_.stats) console_.print(stats.page_line(page));
  }

  // The output of an input whose pages were added could not be written.
  void add_unwritten(const std::string& why) {
    console_.error(why);
    unwritten_ = true;
    ++failed_;
  }

  int read() const { return read_; }

  // 0 if none failed, 1 if some were read (if only in part, for the time limit) or could not be written, else the code of
  // the first failure.
  int exit_code() const {
    if (failed_ == 0) return kOk;
    return read_ > 0 || unwritten_ ? int{kSomeFailed} : cli::exit_code(first_failure_);
  }

 private:
  const ReadArguments& arguments_;
  Console& console_;
  int read_ = 0, failed_ = 0;
  bool unwritten_ = false;
  ErrorCode first_failure_ = ErrorCode::internal;
};

// Takes every page and writes it. Interrupted pages are dropped, except that a streamed text gets its
// newline.
void read_pages(PageQueue& queue, const ReadArguments& arguments, double load_ms, Output& output,
                std::mutex& output_mutex, Report& report, Stats& stats) {
  std::function<void(std::string_view)> on_text;
  if (arguments.stream) {
    on_text = [&](std::string_view piece) {
      const std::lock_guard lock(output_mutex);
      output.stream(std::string(piece));
    };
  }
  while (std::optional<Page> page = queue.take(on_text)) {
    page->load_ms = load_ms;
    const bool interrupted = page->error && page->error->code() == ErrorCode::cancelled;
    const std::lock_guard lock(output_mutex);
    if (!interrupted) report.add(*page, stats);
    if (interrupted && !arguments.stream) continue;
    try {
      output.add(*page);
    } catch (const PageOutputError& error) {
      report.add_unwritten(error.what());
    }
  }
  const std::lock_guard lock(output_mutex);
  try {
    output.finish();
  } catch (const PageOutputError& error) {
    report.add_unwritten(error.what());
  }
}

}  // namespace

int run_read(const ReadArguments& given, Console& console) {
  ReadArguments arguments = given;
  expand_folders(arguments.files, arguments.output);
  const std::unique_ptr<Output> output = open_output(arguments, console);
  const Clock::time_point load_start = Clock::now();
  const Model model = load_model(arguments.model);
  const double load_ms = 1000 * seconds_since(load_start);
  const ModelInfo info = model.info();
  console.note(
      cat(info.path, " on ", info.device, " (", info.isa, "), ", info.dtype, ", ", info.threads, " threads"));
  Stats stats(info, arguments.model.load.quantization, load_ms);
  LoadingEngine loading(model, arguments.engine);
  Engine& engine = *loading.engine;
  PageQueue queue(engine, arguments.files, queue_options(arguments, loading));
  std::mutex output_mutex;  // held while pages are written, which happens on two threads where a file is lost
  const auto on_interrupt = [&] {
    console.note("interrupted: writing the pages that are finished");
    queue.cancel();
  };
  const auto on_lost_file = [&](const std::string& file) {
    const std::lock_guard lock(output_mutex);
    console.error(lost_file_message(file.empty() ? info.path : file));
    try {
      output->finish();
    } catch (...) {
      report_failure(console);
    }
    std::_Exit(kModelUnusable);
  };
  const InterruptWatcher watcher(on_interrupt, on_lost_file);

  const Clock::time_point start = Clock::now();
  Report report(arguments, console);
  {
    std::optional<Progress> progress;
    if (arguments.progress && !arguments.stream) {
      progress.emplace(console, [&queue] {
        return ProgressState{queue.finished(), queue.size(), queue.tokens(), 0, 0};
      });
    }
    try {
      read_pages(queue, arguments, load_ms, *output, output_mutex, report, stats);
    } catch (...) {
      // Without running destructors: a thread may be waiting for a picture from a pipe.
      progress.reset();
      std::_Exit(report_failure(console));
    }
  }
  if (watcher.signal() != 0) {
    console.error(cat("interrupted: ", report.read(), " of ", queue.size(), " pages read"));
    // Without running destructors: a thread may be waiting for a picture from a pipe.
    std::_Exit(128 + watcher.signal());
  }
  if (arguments.stats) console.print(stats.summary(engine.stats(), seconds_since(start)));
  return report.exit_code();
}

}  // namespace glmocr::cli
