// SPDX-License-Identifier: Apache-2.0
// The order of the steps and all constants are those of the official SDK (glmocr 0.1.5, layout post-processing).
#include "regions/filter.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/box.h"
#include "base/error.h"

namespace glmocr {
namespace {

constexpr double kSameClassOverlap = 0.6;
constexpr double kOtherClassOverlap = 0.98;
constexpr double kContainedShare = 0.8;
constexpr double kLargestPictureWide = 0.82;  // of the page
constexpr double kLargestPictureHigh = 0.93;
constexpr double kSameBoxPixels = 1.0;  // numpy.allclose(atol=1.0)
constexpr double kSameBoxShare = 1e-5;

// A detection that is still in.
struct Candidate {
  RegionLabel label;
  float score;
  Box box;
  int order;
  std::size_t source;  // index of the detection
};
using Candidates = std::vector<Candidate>;

std::size_t index_of(RegionLabel label) { return static_cast<std::size_t>(label); }

// Never removed for being contained.
bool is_preserved(RegionLabel label) {
  return label == RegionLabel::image || label == RegionLabel::seal || label == RegionLabel::chart;
}

// Sides are counted in whole pixels, both ends included, as the SDK does.
double overlap(const Box& a, const Box& b) {
  const double width = std::min(a.x1, b.x1) - std::max(a.x0, b.x0) + 1;
  const double height = std::min(a.y1, b.y1) - std::max(a.y0, b.y0) + 1;
  const double common = std::max(0.0, width) * std::max(0.0, height);
  const auto area = [](const Box& box) { return (box.x1 - box.x0 + 1) * (box.y1 - box.y0 + 1); };
  return common / (area(a) + area(b) - common);
}

bool is_contained(const Box& inner, const Box& outer) {
  const double area = (inner.x1 - inner.x0) * (inner.y1 - inner.y0);
  return (area > 0 ? common_area(inner, outer) / area : 0) >= kContainedShare;
}

Candidates above_threshold(std::span<const Detection> detections, const FilterOptions& options) {
  Candidates found;
  for (std::size_t i = 0; i < detections.size(); ++i) {
    const Detection& detection = detections[i];
    const auto& [x0, y0, x1, y1] = detection.box;
    const float threshold = options.class_thresholds[index_of(detection.label)].value_or(options.threshold);
    if (!(detection.score >= threshold)) continue;  // not a number: no
    if (!std::isfinite(x0) || !std::isfinite(y0) || !std::isfinite(x1) || !std::isfinite(y1)) continue;
    found.push_back({detection.label, detection.score, Box{x0, y0, x1, y1}, detection.order, i});
  }
  return found;
}

// By descending score; of equal ones the later comes first.
Candidates suppress_doubles(Candidates boxes) {
  std::stable_sort(boxes.begin(), boxes.end(),
                   [](const Candidate& a, const Candidate& b) { return a.score < b.score; });
  std::reverse(boxes.begin(), boxes.end());
  Candidates chosen;
  for (const Candidate& box : boxes) {
    const bool is_double = std::any_of(chosen.begin(), chosen.end(), [&](const Candidate& other) {
      const double limit = box.label == other.label ? kSameClassOverlap : kOtherClassOverlap;
      return !(overlap(other.box, box.box) < limit);
    });
    if (!is_double) chosen.push_back(box);
  }
  return chosen;
}

void drop_page_pictures(Candidates& boxes, int width, int height) {
  if (boxes.size() < 2) return;
  const double limit =
      (width > height ? kLargestPictureWide : kLargestPictureHigh) * (double(width) * height);
  const auto is_page = [&](const Candidate& candidate) {
    if (candidate.label != RegionLabel::image) return false;
    const double w = std::min<double>(width, candidate.box.x1) - std::max(0.0, candidate.box.x0);
    const double h = std::min<double>(height, candidate.box.y1) - std::max(0.0, candidate.box.y0);
    return !(w * h <= limit);
  };
  if (std::all_of(boxes.begin(), boxes.end(), is_page)) return;
  std::erase_if(boxes, is_page);
}

template <class Drop>
Candidates without(const Candidates& boxes, Drop drop) {
  Candidates kept;
  for (std::size_t i = 0; i < boxes.size(); ++i)
    if (!drop(i)) kept.push_back(boxes[i]);
  return kept;
}

// As the SDK does it: every class looks at all boxes, whatever other classes remove.
Candidates contained_removed_as_sdk(const Candidates& boxes, const FilterOptions& options) {
  std::vector<char> removed(boxes.size(), 0);
  const auto mode = [&](std::size_t i) { return options.containment[index_of(boxes[i].label)]; };
  // Of a class `small`: what is contained in something.
  std::vector<char> contained_small(boxes.size(), 0);
  const auto visit_pairs = [&](auto visit) {
    for (std::size_t i = 0; i < boxes.size(); ++i) {
      if (is_preserved(boxes[i].label)) continue;
      for (std::size_t j = 0; j < boxes.size(); ++j)
        if (i != j && is_contained(boxes[i].box, boxes[j].box)) visit(i, j);
    }
  };
  visit_pairs([&](std::size_t i, std::size_t j) {
    if (mode(j) == Containment::large) removed[i] = 1;
    if (mode(i) == Containment::small) contained_small[i] = 1;
  });
  visit_pairs([&](std::size_t i, std::size_t j) {
    // In the pass of a class, a container is spared if it was found to be contained in that same pass.
    const bool spared = boxes[j].label == boxes[i].label && contained_small[j];
    if (mode(i) == Containment::small && !spared) removed[j] = 1;
  });
  return without(boxes, [&](std::size_t i) { return removed[i] != 0; });
}

// Larger boxes come first and remove what lies in them; of two that contain each other the one with the higher score
// stays. What was removed removes nothing.
Candidates contained_removed(const Candidates& boxes, const FilterOptions& options) {
  const auto area = [&](std::size_t i) {
    return (boxes[i].box.x1 - boxes[i].box.x0) * (boxes[i].box.y1 - boxes[i].box.y0);
  };
  std::vector<std::size_t> by_area(boxes.size());
  std::iota(by_area.begin(), by_area.end(), 0);
  std::stable_sort(by_area.begin(), by_area.end(),
                   [&](std::size_t a, std::size_t b) { return area(a) > area(b); });
  std::vector<char> removed(boxes.size(), 0);
  for (std::size_t at = 0; at < by_area.size(); ++at) {
    const std::size_t i = by_area[at];
    for (std::size_t before = 0; before < at && !removed[i]; ++before) {
      const std::size_t j = by_area[before];
      if (removed[j] || options.containment[index_of(boxes[j].label)] != Containment::large) continue;
      if (!is_contained(boxes[i].box, boxes[j].box)) continue;
      if (is_contained(boxes[j].box, boxes[i].box)) {
        removed[boxes[i].score > boxes[j].score ? j : i] = 1;
      } else if (!is_preserved(boxes[i].label)) {
        removed[i] = 1;
      }
    }
  }
  return without(boxes, [&](std::size_t i) { return removed[i] != 0; });
}

Box unclipped(const Box& box, const std::optional<UnclipRatio>& ratio) {
  if (!ratio) return box;
  const double width = box.x1 - box.x0, height = box.y1 - box.y0;
  const double new_width = width * ratio->width, new_height = height * ratio->height;
  const double x = box.x0 + width / 2, y = box.y0 + height / 2;
  return {x - new_width / 2, y - new_height / 2, x + new_width / 2, y + new_height / 2};
}

bool is_close(const std::array<float, 4>& a, const Box& box) {
  const std::array<double, 4> b{box.x0, box.y0, box.x1, box.y1};
  for (std::size_t i = 0; i < a.size(); ++i)
    if (!(std::abs(a[i] - b[i]) <= kSameBoxPixels + kSameBoxShare * std::abs(b[i]))) return false;
  return true;
}

// The first detection whose box is nearly this one; nullptr: there is none. So twins share a polygon.
const Detection* donor(std::span<const Detection> detections, std::span<const Candidate> passed,
                       const Box& box) {
  for (const Candidate& candidate : passed)
    if (is_close(detections[candidate.source].box, box)) return &detections[candidate.source];
  return nullptr;
}

std::vector<Point> clamped(const std::vector<Point>& polygon, int width, int height) {
  std::vector<Point> result;
  for (const Point& point : polygon) {
    const auto clamp = [](double value, int most) {  // numbers of 32 bits, as in the SDK
      return static_cast<double>(std::clamp(static_cast<float>(value), 0.0f, static_cast<float>(most)));
    };
    result.push_back({clamp(point.x, width), clamp(point.y, height)});
  }
  return result;
}

Box whole_pixels(const Box& box, bool compat) {
  if (compat) return {std::trunc(box.x0), std::trunc(box.y0), std::trunc(box.x1), std::trunc(box.y1)};
  return {std::floor(box.x0), std::floor(box.y0), std::ceil(box.x1), std::ceil(box.y1)};
}

// A list of references that holds no entry of its own is read as one.
void read_lone_references(std::vector<Region>& regions) {
  for (Region& region : regions) {
    if (region.label != RegionLabel::reference) continue;
    const bool holds_some = std::any_of(regions.begin(), regions.end(), [&](const Region& other) {
      return &other != &region && is_contained(other.box, region.box);
    });
    if (holds_some) continue;
    region.label = RegionLabel::reference_content;
    region.task = region_task(region.label);
  }
}

}  // namespace

std::array<Containment, kRegionLabels> FilterOptions::official_containment() {
  std::array<Containment, kRegionLabels> table;
  table.fill(Containment::large);
  table[index_of(RegionLabel::reference)] = Containment::small;
  return table;
}

std::array<std::optional<UnclipRatio>, kRegionLabels> FilterOptions::same_unclip(UnclipRatio ratio) {
  std::array<std::optional<UnclipRatio>, kRegionLabels> table;
  table.fill(ratio);
  return table;
}

std::vector<Region> filter_regions(std::span<const Detection> detections, int width, int height,
                                   const FilterOptions& options) {
  if (width < 1 || height < 1)
    fail(ErrorCode::usage, cat("regions of a page of ", width, "×", height, " pixels"));
  const Candidates passed = above_threshold(detections, options);
  Candidates boxes = options.nms ? suppress_doubles(passed) : passed;
  drop_page_pictures(boxes, width, height);
  boxes = options.compat ? contained_removed_as_sdk(boxes, options) : contained_removed(boxes, options);
  std::stable_sort(boxes.begin(), boxes.end(),
                   [](const Candidate& a, const Candidate& b) { return a.order < b.order; });
  std::vector<Region> regions;
  for (const Candidate& candidate : boxes) {
    const Box full = unclipped(candidate.box, options.unclip[index_of(candidate.label)]);
    const Box box{std::clamp<double>(full.x0, 0, width), std::clamp<double>(full.y0, 0, height),
                  std::clamp<double>(full.x1, 0, width), std::clamp<double>(full.y1, 0, height)};
    if (box.x0 >= box.x1 || box.y0 >= box.y1) continue;
    Region region;
    region.label = candidate.label;
    region.task = region_task(candidate.label);
    if (options.compat && region.task == RegionTask::none) continue;
    region.score = candidate.score;
    region.box = whole_pixels(box, options.compat);
    const Detection* source =
        options.compat ? donor(detections, passed, full) : &detections[candidate.source];
    region.polygon = clamped(source && source->polygon ? *source->polygon : corners(box), width, height);
    regions.push_back(std::move(region));
  }
  if (!options.compat) read_lone_references(regions);
  return regions;
}

std::array<int, 4> in_thousandths(const Box& box, int width, int height) {
  const auto [x0, y0] = in_thousandths(Point{box.x0, box.y0}, width, height);
  const auto [x1, y1] = in_thousandths(Point{box.x1, box.y1}, width, height);
  return {x0, y0, x1, y1};
}

std::array<int, 2> in_thousandths(const Point& point, int width, int height) {
  return {static_cast<int>(point.x / width * 1000), static_cast<int>(point.y / height * 1000)};
}

}  // namespace glmocr
