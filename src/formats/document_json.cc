// SPDX-License-Identifier: Apache-2.0
// JSON of documents and pages. Every region is there, whatever is done with headers and footers, and none is joined to
// another. In this order:
//   document: file, pages
//   page: (file, in JSON lines) page, width, height, rotation, skew (if it was turned back), warnings (if there are any),
//     error (code, message), regions
//   region, first the keys of the official SDK: index, label (text, table, formula, image, or the native label of what the
//     SDK drops), bbox_2d and polygon in thousandths of the page, content (Markdown of this region alone, or null),
//     native_label, image_path (of pictures, if crops are written); then score (of the detector), confidence (the
//     geometric mean of the tokens' probabilities), box in pixels, lines and words (where they are known, in pixels),
//     source (picture or text-layer), finish_reason (unless it is "stop"), error.
#include <algorithm>
#include <cmath>
#include <utility>

#include "base/box.h"
#include "formats/json_parts.h"
#include "formats/sdk_format.h"
#include "formats/writers.h"

namespace glmocr::formats {
namespace {

double rounded(double value, double unit) { return std::round(value * unit) / unit; }

std::string_view group(RegionLabel label) {
  switch (region_task(label)) {
    case RegionTask::text:
      return "text";
    case RegionTask::table:
      return "table";
    case RegionTask::formula:
      return "formula";
    case RegionTask::picture:
      return "image";
    case RegionTask::none:
      break;
  }
  return to_string(label);
}

OrderedJson bbox_json(const Region& region, const DocumentPage& page) {
  return {sdk_thousandths(region.box.x0, page.width), sdk_thousandths(region.box.y0, page.height),
          sdk_thousandths(region.box.x1, page.width), sdk_thousandths(region.box.y1, page.height)};
}

OrderedJson polygon_json(const Region& region, const DocumentPage& page) {
  OrderedJson polygon = OrderedJson::array();
  for (const Point& point : outline(region)) {
    polygon.push_back(
        OrderedJson::array({sdk_thousandths(point.x, page.width), sdk_thousandths(point.y, page.height)}));
  }
  return polygon;
}

OrderedJson content_json(const DocumentPage& page, std::size_t index, const FormatOptions& options) {
  if (!page.regions[index].content) return nullptr;
  std::string content;
  for (const Block& block : region_blocks(page, index, options)) {
    const std::string text = block_markdown(block, options);
    if (!content.empty() && !text.empty()) content += "\n\n";
    content += text;
  }
  return content;
}

OrderedJson region_json(const DocumentPage& page, std::size_t index, const FormatOptions& options) {
  const Region& region = page.regions[index];
  OrderedJson json = {{"index", index},
                      {"label", group(region.label)},
                      {"bbox_2d", bbox_json(region, page)},
                      {"polygon", polygon_json(region, page)},
                      {"content", content_json(page, index, options)},
                      {"native_label", to_string(region.label)}};
  if (region.task == RegionTask::picture && !options.picture_folder.empty()) {
    json["image_path"] = options.picture_folder + "/" + picture_name(page, index);
  }
  json["score"] = rounded(region.score, 1e4);
  if (region.content && region.source == TextSource::picture) {
    json["confidence"] = rounded(std::exp(std::min(region.mean_logprob, 0.0)), 1e4);
  }
  const Box& box = region.box;
  json["box"] =
      box_json({rounded(box.x0, 100), rounded(box.y0, 100), rounded(box.x1, 100), rounded(box.y1, 100)});
  if (!region.lines.empty()) json["lines"] = lines_json(region.lines);
  json["source"] = region.source == TextSource::text_layer ? "text-layer" : "picture";
  if (region.finish_reason != FinishReason::stop) json["finish_reason"] = to_string(region.finish_reason);
  if (region.error) json["error"] = error_json(*region.error);
  return json;
}

void add_page(OrderedJson& json, const DocumentPage& page, const FormatOptions& options) {
  json["page"] = shown_number(page.number);
  json["width"] = page.width;
  json["height"] = page.height;
  json["rotation"] = page.rotation;
  if (page.skew != 0) json["skew"] = rounded(page.skew, 100);
  if (!page.warnings.empty()) json["warnings"] = OrderedJson::array();
  for (const std::string& warning : page.warnings) json["warnings"].push_back(to_valid_utf8(warning));
  if (page.error) json["error"] = error_json(*page.error);
  json["regions"] = OrderedJson::array();
  for (std::size_t i = 0; i < page.regions.size(); ++i)
    json["regions"].push_back(region_json(page, i, options));
}

std::string dump(const OrderedJson& json, int indent) {
  return json.dump(indent, ' ', false, OrderedJson::error_handler_t::replace);
}

class JsonWriter final : public DocumentWriter {
 public:
  explicit JsonWriter(FormatOptions options) : options_(std::move(options)) {}

  std::string page(const DocumentPage& page) override {
    std::string out = pages_++ > 0 ? ",\n    " : head(page.file) + "\n    ";
    OrderedJson json = OrderedJson::object();
    add_page(json, page, options_);
    for (const char c : dump(json, 2)) {
      out += c;
      if (c == '\n') out += "    ";
    }
    return out;
  }
  std::string end() override { return pages_ > 0 ? "\n  ]\n}\n" : head(options_.file) + "]\n}\n"; }

 private:
  std::string head(const std::string& file) const {
    return "{\n  \"file\": " + dump(to_valid_utf8(options_.file.empty() ? file : options_.file), -1) +
           ",\n  \"pages\": [";
  }

  FormatOptions options_;
  int pages_ = 0;
};

class JsonLinesWriter final : public DocumentWriter {
 public:
  explicit JsonLinesWriter(FormatOptions options) : options_(std::move(options)) {}

  std::string page(const DocumentPage& page) override {
    OrderedJson json = {{"file", to_valid_utf8(page.file)}};
    add_page(json, page, options_);
    return dump(json, -1) + "\n";
  }
  std::string end() override { return ""; }

 private:
  FormatOptions options_;
};

}  // namespace

std::unique_ptr<DocumentWriter> json_writer(FormatOptions options) {
  return std::make_unique<JsonWriter>(std::move(options));
}

std::unique_ptr<DocumentWriter> jsonl_writer(FormatOptions options) {
  return std::make_unique<JsonLinesWriter>(std::move(options));
}

}  // namespace glmocr::formats
