// SPDX-License-Identifier: Apache-2.0
// The room `regions`. An input is a picture, width and height first and then its pixels over and over, and the answer of a
// detector about it, 8 bytes each, from the end. Boxes lie inside the page and hold whole pixels; the filter keeps ranks in
// order; of what uncovered_text is given, nothing is lost.
#include <algorithm>
#include <cmath>

#include "fuzz/fuzz.h"
#include "regions/crop.h"
#include "regions/filter.h"
#include "regions/orientation.h"
#include "regions/split_page.h"
#include "regions/text_rows.h"

namespace glmocr::fuzz {
namespace {

constexpr std::size_t kMostDetections = 60;

Image picture_of(const std::uint8_t* data, std::size_t size) {
  Image page;
  page.width = 1 + data[0] + (data[1] % 2) * data[2] % 200;
  page.height = 1 + data[1] + data[2] / 8;
  const std::uint8_t* pixels = data + 4;
  const std::size_t count = size - 4;
  // Long steps through the bytes draw letters and lines, short ones grain.
  const int across = 1 + data[3] % 16, down = 1 + data[3] / 16;
  for (int y = 0; y < page.height; ++y) {
    for (int x = 0; x < page.width; ++x) {
      const std::size_t at = static_cast<std::size_t>(y / down * 31 + x / across);
      page.rgb.insert(page.rgb.end(), 3, pixels[at % count]);
    }
  }
  return page;
}

std::vector<Detection> detections_of(const std::uint8_t* data, std::size_t size) {
  std::vector<Detection> detections;
  for (std::size_t at = 4; at + 8 <= size && detections.size() < kMostDetections; at += 8) {
    const std::uint8_t* item = data + size - at - 4;
    Detection detection;
    detection.label = static_cast<RegionLabel>(item[0] % kRegionLabels);
    detection.score = static_cast<float>(item[1]) / 128;
    for (std::size_t i = 0; i < 4; ++i) detection.box[i] = static_cast<float>(item[2 + i]) * 1.3f - 9;
    if (item[0] == 255) detection.box[item[1] % 4] = std::nanf("");
    detection.order = item[6];
    if (item[7] % 2 != 0)
      detection.polygon = {{1.0 * item[2], 1.0 * item[3]}, {300, -7}, {1.0 * item[4], 1.0 * item[5]}};
    detections.push_back(detection);
  }
  return detections;
}

void expect_regions(const Image& page, std::span<const Region> regions) {
  for (const Region& region : regions) {
    const Box& box = region.box;
    expect(box.x0 >= 0 && box.y0 >= 0 && box.x1 <= page.width && box.y1 <= page.height,
           "a box leaves the page");
    expect(box.x0 < box.x1 && box.y0 < box.y1, "a box is empty");
    for (const double edge : {box.x0, box.y0, box.x1, box.y1})
      expect(edge == std::floor(edge), "a box cuts a pixel");
  }
}

void expect_crops(const Image& page, std::span<const Region> regions) {
  for (const Region& region : regions) {
    for (const bool compat : {false, true}) {
      const Image crop =
          crop_region(page, region, {.compat = compat, .use_polygon = region.label != RegionLabel::text});
      expect(std::ssize(crop.rgb) == std::int64_t{3} * crop.width * crop.height, "a crop has not its size");
      expect(compat || !crop.rgb.empty(), "a crop is empty");
    }
  }
}

// Rows lie in the picture, and what is read of them is cut out.
void expect_rows(const Image& picture) {
  const auto is_whole = [](const Image& image) {
    return !image.rgb.empty() && std::ssize(image.rgb) == std::int64_t{3} * image.width * image.height;
  };
  for (const TextRow& row : text_rows(picture)) {
    const Box& box = row.box;
    expect(0 <= box.x0 && box.x0 < box.x1 && box.x1 <= picture.width, "a row is wider than its picture");
    expect(0 <= box.y0 && box.y0 < box.y1 && box.y1 <= picture.height, "a row is higher than its picture");
    expect(is_whole(row_picture(picture, row)), "a row is empty");
  }
  for (const Image& piece : reading_pieces(picture)) expect(is_whole(piece), "a piece is empty");
}

bool meet(const Box& a, const Box& b) { return a.x0 < b.x1 && b.x0 < a.x1 && a.y0 < b.y1 && b.y0 < a.y1; }

// Regions keep their order. One that is gone has left its lines to others.
void expect_kept(std::span<const Region> given, const std::vector<Region>& all) {
  auto from = all.begin();
  for (const Region& region : given) {
    const auto found = std::find_if(from, all.end(), [&](const Region& other) {
      return other.label == region.label && other.score == region.score;
    });
    const auto holds = [&](const Region& other) { return meet(other.box, region.box); };
    if (found != all.end()) {
      from = found + 1;
    } else {
      expect(std::any_of(all.begin(), all.end(), holds), "a region was lost");
    }
  }
}

}  // namespace
}  // namespace glmocr::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace glmocr;
  if (size < 5) return -1;
  const Image page = fuzz::picture_of(data, size);
  const std::vector<Region> split = split_page(page);
  fuzz::expect_regions(page, split);
  fuzz::expect_crops(page, split);
  fuzz::expect_rows(page);
  FilterOptions options;
  for (const bool compat : {true, false}) {
    options.compat = compat;
    const std::vector<Region> filtered =
        filter_regions(fuzz::detections_of(data, size), page.width, page.height, options);
    if (compat) continue;  // truncated, a box may be empty
    fuzz::expect_regions(page, filtered);
    fuzz::expect_crops(page, filtered);
    const std::vector<Region> all = uncovered_text(page, filtered);
    fuzz::expect_regions(page, all);
    fuzz::expect_kept(filtered, all);
  }
  const PageAngle angle = find_angle(page);
  fuzz::expect(angle.confidence >= 0 && angle.confidence <= 1, "a confidence is none");
  turn_back(page, angle);
  return 0;
}
