// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <mutex>

#include <nlohmann/json.hpp>

#include "base/box.h"
#include "base/error.h"
#include "cli/arguments.h"
#include "cli/exit_code.h"
#include "cli/npy.h"
#include "cli/output.h"
#include "cli/signals.h"
#include "cli/standard_streams.h"
#include "document/page_source.h"
#include "image/draw.h"
#include "image/encode.h"

namespace glmocr::cli {
namespace {

namespace fs = std::filesystem;
using OrderedJson = nlohmann::ordered_json;

void make_folder(const char* option, const fs::path& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error)
    fail(ErrorCode::usage, cat(option, " ", folder.string(), ": cannot be created: ", error.message()));
}

// Three digits behind the point: more would only show how the machine rounds.
double rounded(double value) { return std::round(value * 1000) / 1000; }

OrderedJson to_json(const Region& region, std::size_t order) {
  OrderedJson polygon = OrderedJson::array();
  for (const Point& point : outline(region)) polygon.push_back({rounded(point.x), rounded(point.y)});
  const Box& box = region.box;
  return {{"order", order},
          {"label", to_string(region.label)},
          {"score", std::round(double{region.score} * 1e5) / 1e5},
          {"box", {rounded(box.x0), rounded(box.y0), rounded(box.x1), rounded(box.y1)}},
          {"polygon", std::move(polygon)}};
}

std::string to_json(const SourcePage& source, const Image& image, std::span<const Region> regions) {
  OrderedJson json = {{"file", source.page.file}};
  if (source.page.number > 0) json["page"] = source.page.number;
  json["width"] = image.width;
  json["height"] = image.height;
  json["regions"] = OrderedJson::array();
  for (std::size_t i = 0; i < regions.size(); ++i) json["regions"].push_back(to_json(regions[i], i));
  return json.dump(-1, ' ', false, OrderedJson::error_handler_t::replace) + "\n";
}

std::string error_json(const Page& page, const Error& error) {
  OrderedJson json = {{"file", page.file}};
  if (page.number > 0) json["page"] = page.number;
  json["error"] = {{"code", to_string(error.code())}, {"message", error.what()}};
  return json.dump(-1, ' ', false, OrderedJson::error_handler_t::replace) + "\n";
}

// "scan.png", or "paper.pdf-3" for a page with a number; "standard-input" for "-".
std::string output_name(const Page& page) {
  const std::string name = page.file == "-" ? "standard-input" : fs::path(page.file).filename().string();
  return page.number > 0 ? cat(name, "-", page.number) : name;
}

class Command {
 public:
  Command(const LayoutArguments& arguments, Console& console)
      : arguments_(arguments),
        console_(console),
        to_standard_output_(means_standard_output(arguments.output)),
        to_folder_(!to_standard_output_ && arguments.format == LayoutFormat::png &&
                   (means_folder(arguments.output) || arguments.files.size() > 1)) {
    if (!arguments.dump.empty()) make_folder("--dump", arguments.dump);
    if (to_folder_) {
      prepare_output_folder(arguments.output);
    } else if (!to_standard_output_) {
      check_file();
    } else if (arguments.format == LayoutFormat::png && arguments.files.size() > 1) {
      fail_several();
    }
  }

  // The pages one after the other. A page that fails does not stop the others.
  int run() {
    const InterruptWatcher watcher([&] { end(watcher.signal()); },
                                   [&](const std::string& file) {
                                     console_.error(lost_file_message(file));
                                     std::_Exit(kModelUnusable);
                                   });
    const std::string path =
        arguments_.model.path.empty() ? default_layout_model_path() : arguments_.model.path;
    const LayoutModel model = LayoutModel::load(path, arguments_.model.load);
    DocumentOptions options;
    options.image = arguments_.image;
    options.pdf.dpi = arguments_.dpi;
    options.pdf.password = arguments_.password;
    options.pages = arguments_.pages;
    PageSource source(arguments_.files, options);
    while (std::optional<SourcePage> page = source.next()) {
      if (arguments_.format == LayoutFormat::png && !to_folder_ && !page->page.last) fail_several();
      try {
        if (page->page.error) throw Error(*page->page.error);
        add(model, *page);
      } catch (const Error& error) {
        add_failed(page->page, error);
      }
    }
    const std::lock_guard lock(output_);
    write_json_file();
    if (failed_ == 0) return kOk;
    return written_ == 0 ? exit_code(first_failure_) : kSomeFailed;
  }

 private:
  [[noreturn]] static void fail_several() {
    fail(ErrorCode::usage, "several pages as PNG need a folder: --output DIR/");
  }

  void check_file() const {
    if (means_folder(arguments_.output)) {
      fail(ErrorCode::usage, cat("--output ", arguments_.output, ": is a folder, expected a file"));
    }
    check_output_file(arguments_.output, arguments_.files);
  }

  // On the watcher's thread, when no page is being written. The pages before are kept.
  [[noreturn]] void end(int signal) {
    const std::lock_guard lock(output_);
    try {
      write_json_file();
    } catch (const OutputError& error) {
      console_.error(error.what());
    }
    console_.error(cat("interrupted: ", written_, written_ == 1 ? " page" : " pages", " written"));
    std::_Exit(128 + signal);
  }

  void add(const LayoutModel& model, const SourcePage& source) {
    DecodedImage decoded = source.decode({});
    for (const std::string& warning : decoded.warnings) console_.warning(about(source.page, warning));
    Image& image = decoded.image;
    const std::vector<Region> regions = find(model, image, source.page);
    std::string bytes;
    if (arguments_.format == LayoutFormat::json) {
      bytes = to_json(source, image, regions);
    } else {
      draw_regions(image, regions);
      const std::vector<std::byte> png = encode_png(image);
      bytes.assign(reinterpret_cast<const char*>(png.data()), png.size());
    }
    const std::lock_guard lock(output_);
    write(source.page, bytes);
    ++written_;
  }

  void add_failed(const Page& page, const Error& error) {
    console_.error(about(page, error.what()));
    const std::lock_guard lock(output_);
    if (failed_++ == 0) first_failure_ = error.code();
    if (arguments_.format == LayoutFormat::json) write(page, error_json(page, error));
  }

  std::vector<Region> find(const LayoutModel& model, const Image& image, const Page& page) {
    const LayoutOptions options{.threshold = arguments_.threshold};
    std::vector<Region> found = model.detect({&image, 1}, options, dump_of(page))[0];
    return arguments_.raw ? found : detected_regions(image, found, options);
  }

  TensorSink dump_of(const Page& page) {
    if (arguments_.dump.empty()) return {};
    const fs::path folder = fs::path(arguments_.dump) / dumps_.take(page.file, output_name(page), "");
    make_folder("--dump", folder);
    return [folder](const std::string& name, std::span<const std::int64_t> shape,
                    std::span<const float> values) { write_npy(folder, name, shape, values); };
  }

  void write(const Page& page, const std::string& bytes) {
    if (to_standard_output_) return write_standard_output(bytes);
    if (arguments_.format == LayoutFormat::json) {
      json_ += bytes;
    } else if (to_folder_) {
      write_output_file(
          fs::path(arguments_.output) / pictures_.take(page.file, output_name(page), ".layout.png"), bytes);
    } else {
      write_output_file(arguments_.output, bytes);
    }
  }

  void write_json_file() {
    if (!json_.empty()) write_output_file(arguments_.output, json_);
  }

  const LayoutArguments& arguments_;
  Console& console_;
  const bool to_standard_output_, to_folder_;
  OutputNameList pictures_{console_}, dumps_{console_};
  std::mutex output_;  // held while a page is written; guards what follows
  std::string json_;   // for --output
  int written_ = 0, failed_ = 0;
  ErrorCode first_failure_ = ErrorCode::input;
};

}  // namespace

int run_layout(const LayoutArguments& arguments, Console& console) {
  return Command(arguments, console).run();
}

}  // namespace glmocr::cli
