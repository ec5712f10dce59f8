// SPDX-License-Identifier: Apache-2.0
// Filters a detector's answers as the official SDK does: JSON lines from standard input, one page each, with the keys
// "width", "height", "threshold", "class_thresholds" (a list of 25, null: none), "unclip" (two numbers) and "detections",
// a list of [label, score, x0, y0, x1, y1, order, polygon or null]. Writes the regions of each as a JSON line of
// [label, score, box, polygon] in thousandths. tools/compare_filter.py compares them with the SDK's.
#include <iostream>
#include <nlohmann/json.hpp>

#include "glmocr/error.h"
#include "regions/filter.h"

namespace glmocr {
namespace {

using Json = nlohmann::ordered_json;

Detection detection_of(const Json& item) {
  Detection detection;
  detection.label = static_cast<RegionLabel>(item[0].get<int>());
  detection.score = item[1];
  for (std::size_t i = 0; i < 4; ++i) detection.box[i] = item[2 + i];
  detection.order = item[6];
  if (item[7].is_null()) return detection;
  detection.polygon.emplace();
  for (const Json& point : item[7])
    detection.polygon->push_back({point[0].get<double>(), point[1].get<double>()});
  return detection;
}

Json filtered(const Json& page) {
  FilterOptions options;
  options.compat = true;
  options.threshold = page.at("threshold");
  for (std::size_t i = 0; i < options.class_thresholds.size(); ++i)
    if (!page.at("class_thresholds")[i].is_null())
      options.class_thresholds[i] = page["class_thresholds"][i].get<float>();
  options.unclip = FilterOptions::same_unclip({page.at("unclip")[0], page.at("unclip")[1]});
  std::vector<Detection> detections;
  for (const Json& item : page.at("detections")) detections.push_back(detection_of(item));
  const int width = page.at("width"), height = page.at("height");
  Json regions = Json::array();
  for (const Region& region : filter_regions(detections, width, height, options)) {
    Json polygon = Json::array();
    for (const Point& point : region.polygon) polygon.push_back(in_thousandths(point, width, height));
    regions.push_back(
        {static_cast<int>(region.label), region.score, in_thousandths(region.box, width, height), polygon});
  }
  return regions;
}

}  // namespace
}  // namespace glmocr

int main() {
  try {
    for (std::string line; std::getline(std::cin, line);)
      std::cout << glmocr::filtered(nlohmann::ordered_json::parse(line)).dump() << "\n";
    return 0;
  } catch (const std::exception& error) {
    std::cerr << "filter_replay: " << error.what() << "\n";
    return 1;
  }
}
