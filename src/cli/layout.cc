// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <filesystem>
#include <fstream>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "cli/arguments.h"
#include "cli/exit_code.h"
#include "cli/npy.h"
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
  for (const Point& point : region.polygon) polygon.push_back({rounded(point.x), rounded(point.y)});
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

void write_bytes(const fs::path& path, std::string_view bytes) {
  std::ofstream file(path, std::ios::binary);
  file.write(bytes.data(), std::ssize(bytes));
  file.close();
  if (!file) throw OutputError(cat(path.string(), ": cannot be written"));
}

class Command {
 public:
  Command(const LayoutArguments& arguments, Console& console) : arguments_(arguments), console_(console) {
    if (!arguments.dump.empty()) make_folder("--dump", arguments.dump);
    if (arguments.format == LayoutFormat::png && !arguments.output.empty() && has_folder()) {
      make_folder("--output", arguments.output);
    }
  }

  // The pages one after the other. A page that fails does not stop the others.
  int run() {
    const std::string path =
        arguments_.model.path.empty() ? default_layout_model_path() : arguments_.model.path;
    const LayoutModel model = LayoutModel::load(path, arguments_.model.load);
    DocumentOptions options;
    options.image = arguments_.image;
    options.pdf.dpi = arguments_.dpi;
    options.pages = arguments_.pages;
    PageSource source(arguments_.files, options);
    while (std::optional<SourcePage> page = source.next()) {
      try {
        if (page->page.error) throw Error(*page->page.error);
        add(model, *page);
      } catch (const Error& error) {
        console_.error(error.what());
        if (failed_++ == 0) first_failure_ = error.code();
        if (arguments_.format == LayoutFormat::json) write_json(error_json(page->page, error));
      }
    }
    if (!json_.empty()) write_bytes(arguments_.output, json_);
    if (failed_ == 0) return kOk;
    return written_ == 0 ? exit_code(first_failure_) : kSomeFailed;
  }

 private:
  // PNG pictures of several pages, or into what is a folder already.
  bool has_folder() const {
    return arguments_.output.ends_with('/') || fs::is_directory(arguments_.output) ||
           arguments_.files.size() > 1;
  }

  void add(const LayoutModel& model, const SourcePage& source) {
    DecodedImage decoded = source.decode({});
    for (const std::string& warning : decoded.warnings) console_.warning(warning);
    Image& image = decoded.image;
    const std::vector<Region> regions = find(model, image, source.page);
    ++written_;
    if (arguments_.format == LayoutFormat::json) return write_json(to_json(source, image, regions));
    draw_regions(image, regions);
    write_png(source.page, encode_png(image));
  }

  std::vector<Region> find(const LayoutModel& model, const Image& image, const Page& page) const {
    const LayoutOptions options{.threshold = arguments_.threshold};
    std::vector<Region> found = model.detect({&image, 1}, options, dump_of(page))[0];
    return arguments_.raw ? found : detected_regions(image, found, options);
  }

  TensorSink dump_of(const Page& page) const {
    if (arguments_.dump.empty()) return {};
    const fs::path folder = fs::path(arguments_.dump) / output_name(page);
    make_folder("--dump", folder);
    return [folder](const std::string& name, std::span<const std::int64_t> shape,
                    std::span<const float> values) { write_npy(folder, name, shape, values); };
  }

  void write_json(const std::string& line) {
    if (arguments_.output.empty()) return write_standard_output(line);
    json_ += line;
  }

  void write_png(const Page& page, const std::vector<std::byte>& bytes) {
    const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    if (arguments_.output.empty()) {
      if (written_ > 1) fail(ErrorCode::usage, "several pages as PNG need --output DIR");
      return write_standard_output(text);
    }
    if (has_folder()) {
      return write_bytes(fs::path(arguments_.output) / (output_name(page) + ".layout.png"), text);
    }
    if (written_ > 1) fail(ErrorCode::usage, "several pages as PNG need --output DIR/");
    write_bytes(arguments_.output, text);
  }

  const LayoutArguments& arguments_;
  Console& console_;
  std::string json_;  // for --output
  int written_ = 0, failed_ = 0;
  ErrorCode first_failure_ = ErrorCode::input;
};

}  // namespace

int run_layout(const LayoutArguments& arguments, Console& console) {
  return Command(arguments, console).run();
}

}  // namespace glmocr::cli
