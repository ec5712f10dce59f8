// SPDX-License-Identifier: Apache-2.0
#include "formats/page_record.h"

#include <array>
#include <cmath>

#include "base/error.h"
#include "base/json.h"
#include "formats/json_parts.h"

namespace glmocr::formats {
namespace {

constexpr std::array kTasks = {"text", "table", "formula", "picture", "none"};  // by RegionTask
constexpr std::array kSources = {"picture", "text-layer"};                      // by TextSource

OrderedJson region_record(const Region& region) {
  OrderedJson json = {{"label", to_string(region.label)},
                      {"score", region.score},
                      {"box", box_json(region.box)},
                      {"task", kTasks[static_cast<std::size_t>(region.task)]},
                      {"source", kSources[static_cast<std::size_t>(region.source)]}};
  for (const Point& point : region.polygon) json["polygon"].push_back(OrderedJson::array({point.x, point.y}));
  if (region.content) json["content"] = to_valid_utf8(*region.content);
  if (!region.lines.empty()) json["lines"] = lines_json(region.lines);
  json["mean_logprob"] = std::isfinite(region.mean_logprob) ? region.mean_logprob : 0;
  json["finish_reason"] = to_string(region.finish_reason);
  if (region.error) json["error"] = error_json(*region.error);
  return json;
}

// The element of a list of names that the value is.
template <class Names>
std::size_t one_of(const JsonCursor& value, const Names& names) {
  const std::string name = value.string();
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (names[i] == name) return i;
  }
  value.expected("one of " + join(names, ", "));
}

template <class Enum>
Enum enumerator(const JsonCursor& value, Enum last) {
  std::vector<std::string_view> names;
  for (int i = 0; i <= static_cast<int>(last); ++i) names.push_back(to_string(static_cast<Enum>(i)));
  return static_cast<Enum>(one_of(value, names));
}

Box box_of(const JsonCursor& value) {
  const auto edges = value.numbers<4>();
  return {edges[0], edges[1], edges[2], edges[3]};
}

std::optional<Error> error_of(const JsonCursor& value) {
  if (!value) return std::nullopt;
  return Error(enumerator(value["code"], ErrorCode::internal), value["message"].string());
}

// The elements of a list that may be absent.
std::vector<JsonCursor> optional_elements(const JsonCursor& value) {
  return value ? value.elements() : std::vector<JsonCursor>();
}

PlacedText placed_text(const JsonCursor& value) {
  PlacedText placed{box_of(value["box"]), value["text"].string(), {}};
  for (const JsonCursor& word : optional_elements(value["words"])) {
    placed.words.push_back({box_of(word["box"]), word["text"].string(), {}});
  }
  return placed;
}

Region region_of(const JsonCursor& value) {
  Region region;
  region.label = enumerator(value["label"], static_cast<RegionLabel>(kRegionLabels - 1));
  region.score = static_cast<float>(value["score"].number());
  region.box = box_of(value["box"]);
  for (const JsonCursor& point : optional_elements(value["polygon"])) {
    const auto [x, y] = point.numbers<2>();
    region.polygon.push_back({x, y});
  }
  region.task = static_cast<RegionTask>(one_of(value["task"], kTasks));
  if (value["content"]) region.content = value["content"].string();
  region.source = static_cast<TextSource>(one_of(value["source"], kSources));
  for (const JsonCursor& line : optional_elements(value["lines"])) region.lines.push_back(placed_text(line));
  region.mean_logprob = value["mean_logprob"].number();
  region.finish_reason = enumerator(value["finish_reason"], FinishReason::cancelled);
  region.error = error_of(value["error"]);
  return region;
}

DocumentPage page_of(const JsonCursor& value) {
  DocumentPage page;
  page.file = value["file"].string();
  page.number = value["page"].integer(0);
  page.width = value["width"].integer(0);
  page.height = value["height"].integer(0);
  page.rotation = value["rotation"].integer(0, 270);
  page.skew = value["skew"].number();
  for (const JsonCursor& region : value["regions"].elements()) page.regions.push_back(region_of(region));
  for (const JsonCursor& warning : value["warnings"].elements()) page.warnings.push_back(warning.string());
  page.error = error_of(value["error"]);
  return page;
}

}  // namespace

std::string page_record(const DocumentPage& page) {
  OrderedJson json = {{"file", to_valid_utf8(page.file)},
                      {"page", page.number},
                      {"width", page.width},
                      {"height", page.height},
                      {"rotation", page.rotation},
                      {"skew", page.skew},
                      {"warnings", OrderedJson::array()},
                      {"regions", OrderedJson::array()}};
  for (const std::string& warning : page.warnings) json["warnings"].push_back(to_valid_utf8(warning));
  for (const Region& region : page.regions) json["regions"].push_back(region_record(region));
  if (page.error) json["error"] = error_json(*page.error);
  return json.dump();
}

DocumentPage parse_page_record(std::string_view line, const std::string& name) {
  const Json document = parse_json(line, name, ErrorCode::input);
  try {
    return page_of(JsonCursor(document, name));
  } catch (const Error& error) {
    fail(ErrorCode::input, error.what());  // the cursor is made for the files of snapshots
  }
}

}  // namespace glmocr::formats
