// SPDX-License-Identifier: Apache-2.0
#include "document/layer_regions.h"

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <optional>
#include <utility>

#include "base/box.h"
#include "formats/characters.h"
#include "formats/joined_lines.h"

namespace glmocr {
namespace {

// The share of a region's ink that lies under words of the layer where that is all it shows.
constexpr double kAllText = 0.8;

bool holds(const Box& box, const Point& point) {
  return point.x >= box.x0 && point.x < box.x1 && point.y >= box.y0 && point.y < box.y1;
}

Point middle(const Box& box) { return {(box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2}; }

// The smallest region that holds the point.
std::optional<std::size_t> region_at(const std::vector<Region>& regions, const Point& point) {
  std::optional<std::size_t> found;
  for (std::size_t i = 0; i < regions.size(); ++i) {
    if (!holds(regions[i].box, point)) continue;
    if (!found || area(regions[i].box) < area(regions[*found].box)) found = i;
  }
  return found;
}

bool keeps_lines(RegionLabel label) {
  return label == RegionLabel::algorithm || label == RegionLabel::content || label == RegionLabel::table ||
         label == RegionLabel::display_formula;
}

// One paragraph, words that lines divide put together; or line by line, pieces that stand side by side on one line.
std::string content_of(const std::vector<PlacedText>& lines, RegionLabel label) {
  if (!keeps_lines(label)) {
    formats::Text text;
    for (const PlacedText& line : lines) formats::append_line(text, formats::to_text(line.text));
    return formats::to_utf8(text);
  }
  std::string text;
  for (std::size_t i = 0; i < lines.size(); ++i) {
    if (i > 0) {
      const double y = middle(lines[i].box).y;
      const bool beside =
          y > lines[i - 1].box.y0 && y < lines[i - 1].box.y1 && lines[i].box.x0 >= lines[i - 1].box.x1;
      text += beside ? (label == RegionLabel::table ? "\t" : " ") : "\n";
    }
    text += lines[i].text;
  }
  return text;
}

bool takes_text(const Region& region, const TextLayer& layer, const Image& image, TextLayerUse use) {
  if (region.lines.empty() || region.task == RegionTask::picture) return false;
  if (use == TextLayerUse::only) return true;
  if (region.task != RegionTask::text && region.task != RegionTask::none) return false;
  return covered_ink(layer, image, region.box) >= kAllText;
}

// Lines that lie in no region, as regions, each run of lines behind the region of the line before it.
void add_regions(std::vector<Region>& regions, std::vector<std::pair<std::size_t, PlacedText>> lines) {
  std::vector<Region> result;
  auto line = lines.begin();
  for (std::size_t place = 0; place <= regions.size(); ++place) {
    Region added;
    for (; line != lines.end() && line->first == place; ++line) {
      added.box = added.lines.empty() ? line->second.box : united(added.box, line->second.box);
      added.lines.push_back(std::move(line->second));
    }
    if (!added.lines.empty()) result.push_back(std::move(added));
    if (place < regions.size()) result.push_back(std::move(regions[place]));
  }
  regions = std::move(result);
}

}  // namespace

void take_text_layer(std::vector<Region>& regions, const TextLayer& layer, const Image& image,
                     TextLayerUse use) {
  std::vector<std::pair<std::size_t, PlacedText>> outside;  // with the number of regions before
  std::size_t before = 0;
  for (const PlacedText& line : layer.lines) {
    if (const auto found = region_at(regions, middle(line.box))) {
      regions[*found].lines.push_back(line);
      before = *found + 1;
    } else if (use == TextLayerUse::only) {
      outside.emplace_back(before, line);
    }
  }
  std::stable_sort(outside.begin(), outside.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  add_regions(regions, std::move(outside));
  for (Region& region : regions) {
    if (takes_text(region, layer, image, use)) {
      region.content = content_of(region.lines, region.label);
      region.source = TextSource::text_layer;
    } else {
      region.lines.clear();
    }
  }
}

}  // namespace glmocr
