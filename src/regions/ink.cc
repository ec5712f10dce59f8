// SPDX-License-Identifier: Apache-2.0
// Paper is found in tiles: the light part of each, as far as it does not change suddenly from one tile to the next, as
// shadows do not. Tiles that are no paper (a photograph, a coloured panel) take over the paper of their neighbours.
#include <array>
#include <cstring>

#include "base/numbers.h"
#include "regions/marks.h"

namespace glmocr::layout {
namespace {

constexpr int kTile = 24;
constexpr double kPaperOfTile = 0.75;         // quantile of the pixels of a tile
constexpr int kDarkPage = 110;                // pages with a darker median are light on dark
constexpr double kSuddenChange = 0.8;         // of one tile to the next
constexpr double kFaintestInk = 0.2;          // of the contrast of the darkest ink
constexpr int kLeastInk = 30, kMostInk = 54;  // of 255, darker than paper: what ink is at least
constexpr double kAboveGrain = 4;             // times its deviation, darker than paper: what ink is at least
constexpr int kFewestInkPixels = 64;          // from which its level is estimated

using Histogram = std::array<std::int64_t, 256>;

int quantile(const Histogram& histogram, double share) {
  std::int64_t total = 0;
  for (const std::int64_t count : histogram) total += count;
  std::int64_t so_far = 0;
  for (int i = 0; i < 256; ++i) {
    so_far += histogram[i];
    if (so_far > 0 && so_far >= share * total) return i;
  }
  return 255;
}

void invert_if_dark(Plane& grey) {
  Histogram histogram{};
  for (const std::uint8_t value : grey.values) ++histogram[value];
  if (quantile(histogram, 0.5) >= kDarkPage) return;
  for (std::uint8_t& value : grey.values) value = 255 - value;
}

// Values of a grid of tiles.
struct Tiles {
  int columns = 0, rows = 0;
  std::vector<int> values;

  int& at(int x, int y) { return values[std::int64_t{y} * columns + x]; }
  int at(int x, int y) const { return values[std::int64_t{y} * columns + x]; }
};

Tiles light_part(const Plane& grey) {
  Tiles tiles{divide_up(grey.width, kTile), divide_up(grey.height, kTile), {}};
  tiles.values.resize(std::int64_t{tiles.columns} * tiles.rows);
  for (int ty = 0; ty < tiles.rows; ++ty) {
    for (int tx = 0; tx < tiles.columns; ++tx) {
      Histogram histogram{};
      const int x0 = tx * kTile, x1 = std::min(grey.width, x0 + kTile);
      for (int y = ty * kTile; y < std::min(grey.height, (ty + 1) * kTile); ++y)
        for (int x = x0; x < x1; ++x) ++histogram[grey.row(y)[x]];
      tiles.at(tx, ty) = std::max(1, quantile(histogram, kPaperOfTile));
    }
  }
  return tiles;
}

// Visits the four neighbours of a tile.
template <class Visit>
void for_neighbours(const Tiles& tiles, int x, int y, Visit visit) {
  if (x > 0) visit(x - 1, y);
  if (y > 0) visit(x, y - 1);
  if (x + 1 < tiles.columns) visit(x + 1, y);
  if (y + 1 < tiles.rows) visit(x, y + 1);
}

Tiles find_paper(const Plane& grey) {
  const Tiles light = light_part(grey);
  Histogram histogram{};
  for (const int value : light.values) ++histogram[value];
  const int brightest = quantile(histogram, 0.9);
  Tiles paper{light.columns, light.rows, std::vector<int>(light.values.size(), 0)};
  std::vector<std::array<int, 2>> queue;
  for (int y = 0; y < light.rows; ++y) {
    for (int x = 0; x < light.columns; ++x) {
      if (light.at(x, y) < kSuddenChange * brightest) continue;
      paper.at(x, y) = light.at(x, y);
      queue.push_back({x, y});
    }
  }
  std::vector<std::array<int, 2>> reached = queue;
  // First what is paper, then what is not, from whatever is nearest.
  for (const bool is_paper : {true, false}) {
    queue = reached;
    for (std::size_t i = 0; i < queue.size(); ++i) {
      const auto [x, y] = queue[i];
      const int here = paper.at(x, y);
      for_neighbours(light, x, y, [&](int nx, int ny) {
        if (paper.at(nx, ny) != 0 || (is_paper && light.at(nx, ny) < kSuddenChange * here)) return;
        paper.at(nx, ny) = is_paper ? light.at(nx, ny) : here;
        queue.push_back({nx, ny});
        if (is_paper) reached.push_back({nx, ny});
      });
    }
  }
  return paper;
}

// The brightness of the paper along a row of pixels, between the middles of tiles.
void paper_along(const Tiles& paper, int y, std::vector<int>& row) {
  const auto place = [](int at, int count, int& first, int& share) {
    const int shifted = std::max(0, at - kTile / 2);
    first = std::min(shifted / kTile, count - 1);
    share = first + 1 < count ? shifted % kTile : 0;
  };
  int ty = 0, down = 0;
  place(y, paper.rows, ty, down);
  const int below = std::min(ty + 1, paper.rows - 1);
  std::vector<int> tiles(paper.columns);
  for (int tx = 0; tx < paper.columns; ++tx)
    tiles[tx] = (paper.at(tx, ty) * (kTile - down) + paper.at(tx, below) * down) / kTile;
  for (int x = 0; x < std::ssize(row); ++x) {
    int tx = 0, right = 0;
    place(x, paper.columns, tx, right);
    const int next = std::min(tx + 1, paper.columns - 1);
    row[x] = (tiles[tx] * (kTile - right) + tiles[next] * right) / kTile;
  }
}

// How much darker than paper, of 255, ink is at least: a share of what the darkest of it is.
int ink_contrast(const Plane& grey, const Tiles& paper) {
  Histogram histogram{};
  std::vector<int> row(grey.width);
  for (int y = 0; y < grey.height; y += 4) {
    paper_along(paper, y, row);
    for (int x = 0; x < grey.width; ++x) {
      const int darker = 255 - std::min(255, grey.row(y)[x] * 255 / row[x]);
      if (darker >= kLeastInk) ++histogram[darker];
    }
  }
  std::int64_t ink = 0;
  for (const std::int64_t count : histogram) ink += count;
  if (ink < kFewestInkPixels / 4) return kLeastInk;
  return std::clamp(static_cast<int>(kFaintestInk * quantile(histogram, 0.8)), kLeastInk, kMostInk);
}

// The standard deviation of the grain of paper or camera, by what neighbours differ from each other: a third of them, at
// least, are paper both.
double grain_of(const Plane& grey) {
  constexpr double kDeviations = 1.64;  // in a third of all differences of two numbers with this deviation
  Histogram histogram{};
  for (int y = 0; y < grey.height; ++y) {
    const std::uint8_t* row = grey.row(y);
    for (int x = 1; x < grey.width; ++x) ++histogram[std::abs(row[x] - row[x - 1])];
  }
  return kDeviations * quantile(histogram, 1.0 / 3);
}

}  // namespace

GreyPage grey_page(const Image& page, std::int64_t most_pixels) {
  GreyPage result;
  const auto pixels = [&](int factor) {
    return std::int64_t{divide_up(page.width, factor)} * divide_up(page.height, factor);
  };
  while (pixels(result.factor) > most_pixels) ++result.factor;
  const int factor = result.factor;
  Plane& grey = result.grey;
  grey.width = divide_up(page.width, factor);
  grey.height = divide_up(page.height, factor);
  grey.values.resize(std::int64_t{grey.width} * grey.height);
  std::vector<std::uint32_t> sums(grey.width);
  for (int y = 0; y < grey.height; ++y) {
    const int y0 = y * factor, y1 = std::min(page.height, y0 + factor);
    std::uint8_t* out = grey.row(y);
    if (factor == 1) {
      const std::uint8_t* pixel = &page.rgb[3 * std::int64_t{y} * page.width];
      for (int x = 0; x < page.width; ++x, pixel += 3) out[x] = (pixel[0] + 2 * pixel[1] + pixel[2]) / 4;
      continue;
    }
    std::fill(sums.begin(), sums.end(), 0);
    for (int from = y0; from < y1; ++from) {
      const std::uint8_t* pixel = &page.rgb[3 * std::int64_t{from} * page.width];
      for (int x = 0; x < grey.width; ++x) {
        const int columns = std::min(factor, page.width - x * factor);
        for (int i = 0; i < columns; ++i, pixel += 3) sums[x] += (pixel[0] + 2 * pixel[1] + pixel[2]) / 4;
      }
    }
    for (int x = 0; x < grey.width; ++x) {
      const int columns = std::min(factor, page.width - x * factor);
      out[x] = sums[x] / (columns * (y1 - y0));
    }
  }
  invert_if_dark(grey);
  return result;
}

Plane find_ink(const Plane& grey, bool whole_page) {
  Plane ink{grey.width, grey.height, std::vector<std::uint8_t>(grey.values.size())};
  const Tiles paper = find_paper(grey);
  const int contrast = ink_contrast(grey, paper);
  const int grain = whole_page ? static_cast<int>(kAboveGrain * grain_of(grey)) : 0;
  std::vector<int> row(grey.width);
  for (int y = 0; y < grey.height; ++y) {
    paper_along(paper, y, row);
    const std::uint8_t* from = grey.row(y);
    std::uint8_t* to = ink.row(y);
    for (int x = 0; x < grey.width; ++x)
      to[x] = from[x] * 255 < row[x] * (255 - contrast) && row[x] - from[x] >= grain;
  }
  return ink;
}

}  // namespace glmocr::layout
