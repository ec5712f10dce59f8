// SPDX-License-Identifier: Apache-2.0
#include "models/pp_doclayout_v3/detections.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <numeric>

#include "models/pp_doclayout_v3/polygon.h"

namespace glmocr::doclayout {
namespace {

float sigmoid(float x) { return 1 / (1 + std::exp(-x)); }

float dot(const float* a, const float* b, int count) {
  float sum = 0;
  for (int i = 0; i < count; ++i) sum += a[i] * b[i];
  return sum;
}

struct Candidate {
  float score;
  int query, label;
};

// The best scores of all queries and labels, as many as there are queries, from the threshold up.
std::vector<Candidate> candidates(const PageOutputs& page, float threshold) {
  std::vector<Candidate> all;
  for (int i = 0; i < page.queries * page.classes; ++i) {
    const float score = sigmoid(page.logits[i]);
    if (score >= threshold) all.push_back({score, i / page.classes, i % page.classes});
  }
  std::stable_sort(all.begin(), all.end(),
                   [](const Candidate& a, const Candidate& b) { return a.score > b.score; });
  if (std::ssize(all) > page.queries) all.resize(page.queries);
  return all;
}

// In pixels, in fp32, step by step as transformers does it.
std::array<float, 4> pixel_box(const PageOutputs& page, int query, int width, int height) {
  const float* b = &page.boxes[std::size_t{4} * query];
  const float w = static_cast<float>(width), h = static_cast<float>(height);
  return {(b[0] - 0.5f * b[2]) * w, (b[1] - 0.5f * b[3]) * h, (b[0] + 0.5f * b[2]) * w,
          (b[1] + 0.5f * b[3]) * h};
}

// A range of cells of the mask.
struct Range {
  int begin, end;
};
Range cells(int from, int to, int input, int page_size, int mask_size) {
  // In fp32: the ratio is a tensor there. Half-way cases go to the even cell.
  const float scale = static_cast<float>(input) / static_cast<float>(page_size) / 4;
  const auto cell = [&](int pixel) {
    const float at = std::nearbyint(static_cast<float>(pixel) * scale);
    return static_cast<int>(std::clamp(at, 0.0f, static_cast<float>(mask_size)));
  };
  return {cell(from), cell(to)};
}

// The mask of a query within some cells.
Mask mask_within(const PageOutputs& page, int query, Range x, Range y, float threshold) {
  Mask mask{x.end - x.begin, y.end - y.begin, {}};
  mask.set.reserve(std::size_t(mask.width) * mask.height);
  const float* features = &page.mask_queries[std::size_t(query) * page.prototypes];
  for (int row = y.begin; row < y.end; ++row) {
    for (int column = x.begin; column < x.end; ++column) {
      const std::size_t pixel = std::size_t(row) * page.mask_width + column;
      const float logit = dot(features, &page.masks[pixel * page.prototypes], page.prototypes);
      mask.set.push_back(sigmoid(logit) > threshold);
    }
  }
  return mask;
}

// Enlarged to the pixels of the box without interpolation, as OpenCV's INTER_NEAREST.
Mask enlarged(const Mask& mask, int width, int height) {
  const auto source = [](int at, int from, int to) {
    const double ratio = 1 / (static_cast<double>(to) / from);
    return std::min(static_cast<int>(std::floor(at * ratio)), from - 1);
  };
  std::vector<int> columns(width);
  for (int x = 0; x < width; ++x) columns[x] = source(x, mask.width, width);
  Mask large{width, height, std::vector<std::uint8_t>(std::size_t(width) * height)};
  int last = -1;  // row of the mask
  for (int y = 0; y < height; ++y) {
    std::uint8_t* to = &large.set[std::size_t(y) * width];
    const int row = source(y, mask.height, height);
    if (row == last) {
      std::copy_n(to - width, width, to);
      continue;
    }
    const std::uint8_t* from = &mask.set[std::size_t(row) * mask.width];
    for (int x = 0; x < width; ++x) to[x] = from[columns[x]];
    last = row;
  }
  return large;
}

constexpr int kMostMaskSide = 1 << 15;  // of a mask in pixels of the page; larger boxes stay rectangles

std::vector<Point> polygon(const PageOutputs& page, const LayoutConfig& config, int query,
                           const std::array<float, 4>& box, int page_width, int page_height,
                           float threshold) {
  const auto whole = [](float v) { return static_cast<int>(std::clamp(v, -1e6f, 1e6f)); };
  const int x0 = whole(box[0]), y0 = whole(box[1]), x1 = whole(box[2]), y1 = whole(box[3]);
  std::vector<Point> rectangle{
      {1.0 * x0, 1.0 * y0}, {1.0 * x1, 1.0 * y0}, {1.0 * x1, 1.0 * y1}, {1.0 * x0, 1.0 * y1}};
  const int width = x1 - x0, height = y1 - y0;
  if (width <= 0 || height <= 0 || width > kMostMaskSide || height > kMostMaskSide) return rectangle;
  const Range x = cells(x0, x1, config.width, page_width, page.mask_width);
  const Range y = cells(y0, y1, config.height, page_height, page.mask_height);
  if (x.begin >= x.end || y.begin >= y.end) return rectangle;
  const Mask mask = mask_within(page, query, x, y, threshold);
  if (std::none_of(mask.set.begin(), mask.set.end(), [](std::uint8_t set) { return set != 0; }))
    return rectangle;
  std::vector<Point> corners = mask_polygon(enlarged(mask, width, height));
  if (corners.empty()) return rectangle;
  for (Point& corner : corners) {
    corner.x += x0;
    corner.y += y0;
  }
  return corners;
}

}  // namespace

std::vector<int> reading_ranks(const PageOutputs& page) {
  const int n = page.queries, head = page.order_head;
  const float scale = std::sqrt(static_cast<float>(head));
  std::vector<double> votes(n, 0);
  for (int i = 0; i < n; ++i) {
    const float* query = &page.order_points[std::size_t(i) * 2 * head];
    for (int j = i + 1; j < n; ++j) {
      const float* key = &page.order_points[std::size_t(j) * 2 * head + head];
      const float before = sigmoid(dot(query, key, head) / scale);
      votes[j] += before;
      votes[i] += 1 - before;
    }
  }
  std::vector<int> order(n), ranks(n);
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return votes[a] < votes[b]; });
  for (int rank = 0; rank < n; ++rank) ranks[order[rank]] = rank;
  return ranks;
}

std::vector<Region> find_regions(const PageOutputs& page, const LayoutConfig& config, int width, int height,
                                 float threshold) {
  std::vector<Candidate> kept = candidates(page, threshold);
  const std::vector<int> ranks = reading_ranks(page);
  std::stable_sort(kept.begin(), kept.end(),
                   [&](const Candidate& a, const Candidate& b) { return ranks[a.query] < ranks[b.query]; });
  std::vector<Region> regions;
  for (const Candidate& c : kept) {
    const std::array<float, 4> box = pixel_box(page, c.query, width, height);
    Region& region = regions.emplace_back();
    region.label = config.labels[c.label];
    region.score = c.score;
    region.box = {box[0], box[1], box[2], box[3]};
    region.polygon = polygon(page, config, c.query, box, width, height, threshold);
    region.task = region_task(region.label);
  }
  return regions;
}

}  // namespace glmocr::doclayout
