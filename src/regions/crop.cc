// SPDX-License-Identifier: Apache-2.0
#include "regions/crop.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <vector>

#include "regions/filter.h"

namespace glmocr {
namespace {

struct Rectangle {
  int x0, y0, x1, y1;
};

// Edges as pixels, thousandth × side / 1000 and truncated.
int edge(int thousandths, int side) { return static_cast<int>(std::int64_t{thousandths} * side / 1000.0); }

Rectangle rectangle_of(const Image& page, const Box& box, const CropOptions& options) {
  const auto inside = [](double value, int most) {
    return std::isnan(value) ? 0 : static_cast<int>(std::clamp<double>(value, 0, most));
  };
  if (options.compat) {
    const Box clamped{double(inside(box.x0, page.width)), double(inside(box.y0, page.height)),
                      double(inside(box.x1, page.width)), double(inside(box.y1, page.height))};
    const auto [x0, y0, x1, y1] = in_thousandths(clamped, page.width, page.height);
    return {edge(x0, page.width), edge(y0, page.height), edge(x1, page.width), edge(y1, page.height)};
  }
  if (!(box.x0 < box.x1 && box.y0 < box.y1)) return {0, 0, 0, 0};
  const int margin = std::max(0, options.margin);
  return {inside(std::floor(box.x0) - margin, page.width), inside(std::floor(box.y0) - margin, page.height),
          inside(std::ceil(box.x1) + margin, page.width), inside(std::ceil(box.y1) + margin, page.height)};
}

// The corners in pixels of the crop.
std::vector<Point> polygon_of(const Image& page, const Region& region, const Rectangle& at, bool compat) {
  std::vector<Point> corners;
  for (Point point : region.polygon) {
    if (!std::isfinite(point.x) || !std::isfinite(point.y)) continue;
    point = {std::clamp<double>(point.x, 0, page.width), std::clamp<double>(point.y, 0, page.height)};
    if (compat) {
      const auto [x, y] = in_thousandths(point, page.width, page.height);
      point = {std::trunc(x * (page.width / 1000.0)), std::trunc(y * (page.height / 1000.0))};
    }
    corners.push_back({point.x - at.x0, point.y - at.y0});
  }
  return corners;
}

// Where the edges of the polygon meet the middle of a row, from the left.
std::vector<double> crossings(const std::vector<Point>& corners, double y) {
  std::vector<double> found;
  for (std::size_t i = 0; i < corners.size(); ++i) {
    const Point& a = corners[i];
    const Point& b = corners[(i + 1) % corners.size()];
    if ((a.y <= y) != (b.y <= y)) found.push_back(a.x + (y - a.y) / (b.y - a.y) * (b.x - a.x));
  }
  std::sort(found.begin(), found.end());
  return found;
}

// The columns of a row that an edge which runs along it touches, so that an outline belongs to the polygon.
void whiten_outside(Image& crop, const std::vector<Point>& corners, int grown) {
  std::vector<char> inside(crop.width);
  for (int y = 0; y < crop.height; ++y) {
    std::fill(inside.begin(), inside.end(), 0);
    // A row belongs to the polygon as far as its upper edge, middle or lower edge does.
    for (const double at : {y - grown + 0.0, y + 0.5, y + grown + 1.0}) {
      const std::vector<double> xs = crossings(corners, at);
      for (std::size_t i = 0; i + 1 < xs.size(); i += 2) {
        const int first = static_cast<int>(std::clamp(std::floor(xs[i]) - grown, 0.0, double(crop.width)));
        const int last = static_cast<int>(std::clamp(std::ceil(xs[i + 1]) + grown, 0.0, double(crop.width)));
        std::fill(inside.begin() + first, inside.begin() + std::max(first, last), 1);
      }
    }
    std::uint8_t* row = &crop.rgb[3 * std::int64_t{y} * crop.width];
    for (int x = 0; x < crop.width; ++x)
      if (!inside[x]) std::fill_n(row + 3 * std::int64_t{x}, 3, std::uint8_t{255});
  }
}

// Of each channel the middle one of the values along the edge.
std::array<std::uint8_t, 3> edge_colour(const Image& picture) {
  std::array<std::vector<std::uint8_t>, 3> values;
  const auto take = [&](int x, int y) {
    for (int channel = 0; channel < 3; ++channel)
      values[channel].push_back(picture.rgb[3 * (std::int64_t{y} * picture.width + x) + channel]);
  };
  for (int x = 0; x < picture.width; ++x) take(x, 0), take(x, picture.height - 1);
  for (int y = 0; y < picture.height; ++y) take(0, y), take(picture.width - 1, y);
  std::array<std::uint8_t, 3> colour{};
  for (int channel = 0; channel < 3; ++channel) {
    std::vector<std::uint8_t>& of_channel = values[channel];
    const auto middle = of_channel.begin() + std::ssize(of_channel) / 2;
    std::nth_element(of_channel.begin(), middle, of_channel.end());
    colour[channel] = *middle;
  }
  return colour;
}

}  // namespace

Image framed(const Image& picture, int columns, int rows) {
  if (picture.rgb.empty()) return picture;
  const std::array<std::uint8_t, 3> colour = edge_colour(picture);
  Image larger;
  larger.width = picture.width + 2 * columns;
  larger.height = picture.height + 2 * rows;
  larger.rgb.resize(std::int64_t{3} * larger.width * larger.height);
  for (std::size_t i = 0; i < larger.rgb.size(); ++i) larger.rgb[i] = colour[i % 3];
  for (int y = 0; y < picture.height; ++y) {
    const auto from = picture.rgb.begin() + std::int64_t{3} * y * picture.width;
    const auto to = larger.rgb.begin() + 3 * (std::int64_t{y + rows} * larger.width + columns);
    std::copy_n(from, std::int64_t{3} * picture.width, to);
  }
  return larger;
}

Image crop_region(const Image& page, const Region& region, const CropOptions& options) {
  const Rectangle at = rectangle_of(page, region.box, options);
  Image crop;
  if (at.x0 >= at.x1 || at.y0 >= at.y1) return crop;
  crop.width = at.x1 - at.x0;
  crop.height = at.y1 - at.y0;
  crop.rgb.resize(3 * std::int64_t{crop.width} * crop.height);
  for (int y = 0; y < crop.height; ++y) {
    const std::uint8_t* from = &page.rgb[3 * (std::int64_t{at.y0 + y} * page.width + at.x0)];
    std::copy_n(from, 3 * std::int64_t{crop.width}, &crop.rgb[3 * std::int64_t{y} * crop.width]);
  }
  if (options.use_polygon) {
    const std::vector<Point> corners = polygon_of(page, region, at, options.compat);
    if (corners.size() >= 3) whiten_outside(crop, corners, options.compat ? 0 : options.margin);
  }
  return crop;
}

}  // namespace glmocr
