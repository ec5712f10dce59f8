// SPDX-License-Identifier: Apache-2.0
// All formats of a document, by our rules and the SDK's. An input is a document: a byte of options, then regions between
// NUL bytes, each with a byte that says its class, a byte that says where it stands, and its text.
#include <set>

#include <nlohmann/json.hpp>

#include "base/utf8.h"
#include "formats/page_record.h"
#include "formats/writer.h"
#include "fuzz/fuzz.h"

namespace glmocr::fuzz {
namespace {

using formats::Format;

constexpr std::size_t kMostRegions = 64;

Region region_of(const std::string& part) {
  const auto label = static_cast<std::uint8_t>(part[0]), place = static_cast<std::uint8_t>(part[1]);
  Region region;
  region.label = static_cast<RegionLabel>(label % kRegionLabels);
  region.task = region_task(region.label);
  const double x = place % 4 * 200.0, y = place / 4 % 8 * 100.0;
  region.box = {x, y, x + 50.0 * (label / kRegionLabels), y + place / 2.0};
  region.source = place % 2 == 0 ? TextSource::picture : TextSource::text_layer;
  if (region.task != RegionTask::picture) region.content = part.substr(2);
  if (place % 8 == 3) region.polygon = {{x, y}, {x + 9, y}, {x, y + 9}};
  if (place % 16 == 5) region.lines = {{region.box, part.substr(2), {}}};
  return region;
}

// A page ends with a part that is too short for a region.
std::vector<DocumentPage> document(std::string_view input) {
  std::vector<DocumentPage> pages;
  const auto begin_page = [&] {
    pages.emplace_back();
    pages.back().file = "document";
    pages.back().number = std::ssize(pages);
    pages.back().width = 800;
    pages.back().height = 1000;
  };
  begin_page();
  for (const std::string& part : parts(input, kMostRegions)) {
    if (part.size() < 2) {
      begin_page();
    } else {
      pages.back().regions.push_back(region_of(part));
    }
  }
  return pages;
}

std::string write(formats::DocumentWriter& writer, const std::vector<DocumentPage>& pages) {
  std::string out;
  for (const DocumentPage& page : pages) out += writer.page(page);
  out += writer.end();
  expect(find_invalid_utf8(out) == std::string::npos, "the output is not UTF-8");
  return out;
}

// A tag without the values of its attributes.
std::string attribute_names(std::string_view tag) {
  std::string names;
  bool quoted = false;
  for (const char c : tag) {
    if (c == '"') quoted = !quoted;
    if (!quoted) names += c;
  }
  expect(!quoted, "a value has no end");
  return names;
}

// Every < begins a tag of ours, without handlers of events, and what opens is closed in its order.
void check_markup(std::string_view out, const std::set<std::string>& names,
                  const std::set<std::string>& empty) {
  std::vector<std::string> open;
  for (std::size_t at = out.find('<'); at != std::string_view::npos; at = out.find('<', at + 1)) {
    if (out.substr(at, 2) == "<!" || out.substr(at, 2) == "<?") continue;
    const std::string_view tag = out.substr(at + 1, out.find('>', at) - at - 1);
    const bool closing = tag.starts_with('/');
    const std::string name(tag.substr(closing ? 1 : 0, tag.find_first_of(" />", 1) - (closing ? 1 : 0)));
    expect(names.count(name) == 1, "a foreign tag: " + std::string(out.substr(at, 40)));
    expect(attribute_names(tag).find(" on") == std::string::npos, "a handler");
    if (empty.count(name) == 1 || tag.ends_with('/')) continue;
    if (!closing) {
      open.push_back(name);
      continue;
    }
    expect(!open.empty() && open.back() == name, "tags do not nest: " + name);
    open.pop_back();
  }
  expect(open.empty(), "a tag is open");
}

void check_formats(const std::vector<DocumentPage>& pages, const formats::FormatOptions& options) {
  const auto written = [&](Format format) {
    return write(*formats::document_writer(format, options), pages);
  };
  const std::set<std::string> html = {"html", "head", "meta", "title",   "style", "body",   "h1",    "h2",
                                      "h3",   "h4",   "h5",   "h6",      "p",     "a",      "sup",   "sub",
                                      "b",    "i",    "u",    "s",       "em",    "strong", "br",    "span",
                                      "div",  "ul",   "ol",   "li",      "table", "tr",     "td",    "th",
                                      "pre",  "code", "hr",   "caption", "aside", "img",    "figure"};
  check_markup(written(Format::html), html, {"meta", "br", "img", "hr"});
  check_markup(written(Format::hocr), {"html", "head", "meta", "title", "body", "div", "p", "span"}, {});
  const std::set<std::string> alto = {"alto",
                                      "Description",
                                      "MeasurementUnit",
                                      "sourceImageInformation",
                                      "fileName",
                                      "Processing",
                                      "processingSoftware",
                                      "softwareName",
                                      "Tags",
                                      "LayoutTag",
                                      "Layout",
                                      "Page",
                                      "PrintSpace",
                                      "TextBlock",
                                      "Illustration",
                                      "TextLine",
                                      "String",
                                      "SP",
                                      "Shape",
                                      "Polygon"};
  check_markup(written(Format::alto), alto, {});
  expect(nlohmann::json::accept(written(Format::json)), "JSON");
  const std::string lines = written(Format::jsonl);
  expect(std::count(lines.begin(), lines.end(), '\n') == std::ssize(pages), "lines of JSON");
  written(Format::text);
  expect(written(Format::markdown).find("<script") == std::string::npos, "a script in Markdown");
}

}  // namespace
}  // namespace glmocr::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace glmocr;
  if (size < 3) return -1;
  formats::FormatOptions options;
  options.furniture = static_cast<formats::Furniture>(data[0] % 3);
  options.page_breaks = (data[0] & 4) != 0;
  options.join_tables = (data[0] & 8) != 0;
  const std::vector<DocumentPage> pages = fuzz::document(fuzz::as_text(data + 1, size - 1));
  formats::HeadingHeights heights;
  for (const DocumentPage& page : pages) heights.add(page);
  options.headings = heights.levels();
  fuzz::check_formats(pages, options);
  fuzz::write(*formats::sdk_writer(formats::SdkOutput::markdown), pages);
  for (const auto output : {formats::SdkOutput::json, formats::SdkOutput::model_json}) {
    fuzz::expect(nlohmann::json::accept(fuzz::write(*formats::sdk_writer(output), pages)), "the SDK's JSON");
  }
  for (const DocumentPage& page : pages) {
    const std::string record = formats::page_record(page);
    fuzz::expect(formats::page_record(formats::parse_page_record(record, "record")) == record,
                 "a record changes");
  }
  return 0;
}
