// SPDX-License-Identifier: Apache-2.0
#include "models/pp_doclayout_v3/polygon.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <numbers>
#include <utility>

#include "base/error.h"

namespace glmocr::doclayout {
namespace {

// Directions anticlockwise as seen, from the right.
constexpr std::array<GridPoint, 8> kSteps{GridPoint{1, 0}, {1, -1}, {0, -1}, {-1, -1},
                                          {-1, 0},         {-1, 1}, {0, 1},  {1, 1}};
constexpr int kDirections = 8;

GridPoint moved(const GridPoint& p, int direction) {
  return {p.x + kSteps[direction].x, p.y + kSteps[direction].y};
}

// Follows the outer edge from the first pixel of a part, whose left neighbour is not set.
std::vector<GridPoint> follow(const Mask& mask, const GridPoint& start) {
  const auto is_set = [&](const GridPoint& p) { return mask.at(p.x, p.y); };
  std::vector<GridPoint> corners;
  // The last neighbour before the start, clockwise from the left one.
  int from = 4;
  GridPoint last = start;
  do {
    from = (from + kDirections - 1) % kDirections;
    last = moved(start, from);
  } while (!is_set(last) && from != 4);
  if (!is_set(last)) return {start};

  GridPoint here = start;
  int before = from ^ 4;  // the direction of the step that led here
  int back = from;        // the direction to where the search begins
  while (true) {
    int direction = back;
    do {
      direction = (direction + 1) % kDirections;
    } while (!is_set(moved(here, direction)));
    if (direction != before) {
      corners.push_back(here);
      before = direction;
    }
    const GridPoint next = moved(here, direction);
    if (next == start && here == last) break;
    here = next;
    back = (direction + 4) % kDirections;
  }
  return corners;
}

// Pixels of a row that are set, one after the other, and the part they belong to.
struct Run {
  int begin, end;
  std::size_t part;
};

std::vector<Run> runs_of(const std::uint8_t* row, int width) {
  std::vector<Run> runs;
  for (int x = 0; x < width;) {
    const int begin = static_cast<int>(std::find(row + x, row + width, 1) - row);
    x = static_cast<int>(std::find(row + begin, row + width, 0) - row);
    if (begin < x) runs.push_back({begin, x, 0});
  }
  return runs;
}

// The first pixel, in reading order, of each part. Runs of neighbouring rows that touch, also at corners, belong to one
// part, which has the number of its first run.
std::vector<GridPoint> first_pixels(const Mask& mask) {
  std::vector<GridPoint> firsts;
  std::vector<std::size_t> joined;  // a part with a lower number that it is joined with, or itself
  const auto root = [&](std::size_t part) {
    while (joined[part] != part) part = joined[part] = joined[joined[part]];
    return part;
  };
  std::vector<Run> above;
  for (int y = 0; y < mask.height; ++y) {
    const std::uint8_t* row = &mask.set[std::int64_t{y} * mask.width];
    if (y > 0 && std::equal(row, row + mask.width, row - mask.width)) continue;  // the same runs
    std::vector<Run> runs = runs_of(row, mask.width);
    auto over = above.begin();
    for (Run& run : runs) {
      run.part = joined.size();
      joined.push_back(run.part);
      firsts.push_back({run.begin, y});
      while (over != above.end() && over->end < run.begin) ++over;
      for (auto touching = over; touching != above.end() && touching->begin <= run.end; ++touching) {
        const std::size_t a = root(touching->part), b = root(run.part);
        joined[std::max(a, b)] = std::min(a, b);
      }
    }
    above = std::move(runs);
  }
  std::vector<GridPoint> roots;
  for (std::size_t part = 0; part < firsts.size(); ++part) {
    if (joined[part] == part) roots.push_back(firsts[part]);
  }
  return roots;
}

// Distance², from a point to a segment, times the segment's length².
double scaled_distance(const GridPoint& p, const GridPoint& a, const GridPoint& b) {
  const double dx = b.x - a.x, dy = b.y - a.y, length = dx * dx + dy * dy;
  const double px = p.x - a.x, py = p.y - a.y, along = px * dx + py * dy;
  if (along < 0) return (px * px + py * py) * length;
  if (along > length) {
    const double qx = p.x - b.x, qy = p.y - b.y;
    return (qx * qx + qy * qy) * length;
  }
  const double cross = py * dx - px * dy;
  return cross * cross;
}

double distance2(const GridPoint& a, const GridPoint& b) {
  const double dx = a.x - b.x, dy = a.y - b.y;
  return dx * dx + dy * dy;
}

// Drops a corner between two others where it lies nearly on their line and not before or behind it.
std::vector<GridPoint> without_flat_corners(std::vector<GridPoint> ring, double epsilon2) {
  std::size_t count = ring.size(), kept = count;
  std::size_t read = 0, write = 0;
  const auto next = [&] {
    const GridPoint p = ring[read];
    read = (read + 1) % count;
    return p;
  };
  read = count - 1;
  GridPoint start = next();
  write = read;
  GridPoint middle = next();
  for (std::size_t i = 0; i < count && kept > 2; ++i) {
    const GridPoint end = next();
    const double dx = end.x - start.x, dy = end.y - start.y;
    const double cross = (middle.x - start.x) * dy - (middle.y - start.y) * dx;
    const double inner = static_cast<double>(middle.x - start.x) * (end.x - middle.x) +
                         static_cast<double>(middle.y - start.y) * (end.y - middle.y);
    if (cross * cross <= 0.5 * epsilon2 * (dx * dx + dy * dy) && dx != 0 && dy != 0 && inner >= 0) {
      --kept;
      ring[write] = start = end;
      write = (write + 1) % count;
      middle = next();
      ++i;
      continue;
    }
    ring[write] = start = middle;
    write = (write + 1) % count;
    middle = end;
  }
  ring.resize(kept);
  return ring;
}

// The corner itself, or, where it is an angle of 45 degrees, a point between its neighbours.
Point softened(const GridPoint& previous, const GridPoint& corner, const GridPoint& next) {
  const double ax = previous.x - corner.x, ay = previous.y - corner.y;
  const double bx = next.x - corner.x, by = next.y - corner.y;
  const double a = std::hypot(ax, ay), b = std::hypot(bx, by);
  const double cosine = std::clamp((ax * bx + ay * by) / (a * b), -1.0, 1.0);
  const Point at{static_cast<double>(corner.x), static_cast<double>(corner.y)};
  if (!(std::abs(std::acos(cosine) * 180 / std::numbers::pi - 45) < 1)) return at;
  const double dx = ax / a + bx / b, dy = ay / a + by / b, length = std::hypot(dx, dy), step = (a + b) / 2;
  return {at.x + dx / length * step, at.y + dy / length * step};
}

std::vector<Point> convex_corners(const std::vector<GridPoint>& polygon) {
  const std::size_t n = polygon.size();
  std::vector<Point> corners;
  for (std::size_t i = 0; i < n; ++i) {
    const GridPoint &previous = polygon[(i + n - 1) % n], &corner = polygon[i], &next = polygon[(i + 1) % n];
    const std::int64_t ax = previous.x - corner.x, ay = previous.y - corner.y;
    const std::int64_t bx = next.x - corner.x, by = next.y - corner.y;
    if (ay * bx - ax * by < 0) corners.push_back(softened(previous, corner, next));
  }
  return corners;
}

}  // namespace

std::vector<std::vector<GridPoint>> outlines(const Mask& mask) {
  std::vector<std::vector<GridPoint>> all;
  for (const GridPoint& first : first_pixels(mask)) all.push_back(follow(mask, first));
  return all;
}

double outline_area(const std::vector<GridPoint>& outline) {
  double sum = 0;
  GridPoint previous = outline.back();
  for (const GridPoint& p : outline) {
    sum += static_cast<double>(previous.x) * p.y - static_cast<double>(previous.y) * p.x;
    previous = p;
  }
  return std::abs(sum) * 0.5;
}

// Three hops, each to the point farthest from the last, find two anchors. The ring is split at them, and each part
// again at its farthest point, as long as that is farther than epsilon.
std::vector<GridPoint> simplify(const std::vector<GridPoint>& outline, double epsilon) {
  const std::int64_t count = std::ssize(outline);
  if (count < 2) return outline;
  const double epsilon2 = epsilon * epsilon;
  const auto at = [&](std::int64_t i) -> const GridPoint& { return outline[i % count]; };
  std::int64_t start = 0, farthest = 0;
  double distance = 0;
  for (int hop = 0; hop < 3; ++hop) {
    start = (start + farthest) % count;
    farthest = 0;
    distance = 0;
    for (std::int64_t j = 1; j < count; ++j) {
      const double d = distance2(at(start + j), at(start));
      if (d > distance) {
        distance = d;
        farthest = j;
      }
    }
  }
  if (distance <= epsilon2) return {at(start)};

  std::vector<GridPoint> kept;
  struct Part {
    std::int64_t begin, end;
  };
  std::vector<Part> stack{{start + farthest, start + count}, {start, start + farthest}};
  while (!stack.empty()) {
    const Part part = stack.back();
    stack.pop_back();
    const GridPoint &a = at(part.begin), &b = at(part.end);
    double largest = 0;
    std::int64_t split = part.begin;
    for (std::int64_t i = part.begin + 1; i < part.end; ++i) {
      const double d = scaled_distance(at(i), a, b);
      if (d > largest) {
        largest = d;
        split = i;
      }
    }
    if (largest <= epsilon2 * distance2(a, b)) {
      kept.push_back(a);
    } else {
      stack.push_back({split, part.end});
      stack.push_back({part.begin, split});
    }
  }
  return without_flat_corners(std::move(kept), epsilon2);
}

std::vector<Point> mask_polygon(const Mask& mask) {
  const std::vector<std::vector<GridPoint>> all = outlines(mask);
  if (all.empty()) return {};
  // Of equal areas the last one in reading order: OpenCV lists the outlines from the bottom up.
  const auto largest = std::max_element(all.rbegin(), all.rend(), [](const auto& a, const auto& b) {
    return outline_area(a) < outline_area(b);
  });
  double length = 0;
  for (std::size_t i = 0; i < largest->size(); ++i) {
    length += std::sqrt(distance2((*largest)[i], (*largest)[(i + 1) % largest->size()]));
  }
  constexpr double kShare = 0.004;  // of the outline's length
  std::vector<Point> corners = convex_corners(simplify(*largest, kShare * length));
  if (corners.size() < 4) corners.clear();
  return corners;
}

}  // namespace glmocr::doclayout
