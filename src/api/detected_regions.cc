// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <span>
#include <utility>

#include "base/box.h"
#include "base/check_pixels.h"
#include "glmocr/document.h"
#include "regions/filter.h"
#include "regions/labelled_blocks.h"
#include "regions/order_regions.h"
#include "regions/split_page.h"

namespace glmocr {
namespace {

std::vector<Detection> detections(const std::vector<Region>& regions) {
  std::vector<Detection> result;
  for (const Region& region : regions) {
    Detection& detection = result.emplace_back();
    detection.label = region.label;
    detection.score = region.score;
    detection.box = {static_cast<float>(region.box.x0), static_cast<float>(region.box.y0),
                     static_cast<float>(region.box.x1), static_cast<float>(region.box.y1)};
    detection.order = static_cast<int>(result.size()) - 1;
    if (!region.polygon.empty()) detection.polygon = region.polygon;
  }
  return result;
}

// The small detector sees seals where there are none; the text there is found without it.
bool is_doubtful(const Region& region) {
  constexpr float kSure = 0.6f;
  return region.label == RegionLabel::seal && region.score < kSure;
}

// A formula in a line of text, which is read with its line.
bool is_in_text(const Region& formula, std::span<const Region> regions) {
  return formula.label == RegionLabel::inline_formula &&
         std::ranges::any_of(regions, [&](const Region& region) {
           return region.task == RegionTask::text &&
                  2 * common_area(region.box, formula.box) >= area(formula.box);
         });
}

std::vector<Region> detect(const LayoutModel& model, const Image& page, const LayoutOptions& options) {
  return model.detect(std::span(&page, 1), options).front();
}

// The detector's regions without doubles, pieces of others, doubtful ones, and formulas in lines.
std::vector<Region> filtered(const std::vector<Region>& found, const Image& page,
                             const LayoutOptions& options, bool compat) {
  FilterOptions filter;
  filter.compat = compat;
  filter.threshold = options.threshold;
  std::vector<Region> regions = filter_regions(detections(found), page.width, page.height, filter);
  if (compat) return regions;
  std::erase_if(regions, is_doubtful);
  const std::vector<Region> all = regions;
  std::erase_if(regions, [&](const Region& region) { return is_in_text(region, all); });
  return regions;
}

}  // namespace

RegionFinder labelled_regions(LayoutModel model, const LayoutOptions& options) {
  return [model = std::move(model), options](const Image& page) {
    const std::vector<Region> found = detect(model, page, options);  // checks the page
    return labelled_blocks(split_page(page), filtered(found, page, options, false));
  };
}

RegionFinder detected_regions(LayoutModel model, const LayoutOptions& options, bool compat) {
  return [model = std::move(model), options, compat](const Image& page) {
    return detected_regions(page, detect(model, page, options), options, compat);
  };
}

std::vector<Region> detected_regions(const Image& page, const std::vector<Region>& found,
                                     const LayoutOptions& options, bool compat) {
  check_pixels(page, "page");
  std::vector<Region> regions = filtered(found, page, options, compat);
  if (compat) return regions;
  return uncovered_text(page, columns_from_above(std::move(regions), page.width));
}

}  // namespace glmocr
