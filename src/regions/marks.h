// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <algorithm>
#include <cstdint>
#include <vector>

#include "glmocr/image.h"

// The analysis of a page, in pixels of a reduced picture.
namespace glmocr::layout {

struct Rect {
  int x0 = 0, y0 = 0, x1 = 0, y1 = 0;  // x1 and y1 are outside

  int width() const { return x1 - x0; }
  int height() const { return y1 - y0; }
  std::int64_t area() const { return std::int64_t{std::max(0, width())} * std::max(0, height()); }
};

inline Rect united(const Rect& a, const Rect& b) {
  return {std::min(a.x0, b.x0), std::min(a.y0, b.y0), std::max(a.x1, b.x1), std::max(a.y1, b.y1)};
}
inline Rect common(const Rect& a, const Rect& b) {
  return {std::max(a.x0, b.x0), std::max(a.y0, b.y0), std::min(a.x1, b.x1), std::min(a.y1, b.y1)};
}
inline Rect grown(const Rect& box, int by) { return {box.x0 - by, box.y0 - by, box.x1 + by, box.y1 + by}; }
// How far they overlap along an axis; the gap between them, if negative.
inline int overlap_x(const Rect& a, const Rect& b) { return std::min(a.x1, b.x1) - std::max(a.x0, b.x0); }
inline int overlap_y(const Rect& a, const Rect& b) { return std::min(a.y1, b.y1) - std::max(a.y0, b.y0); }
inline bool meet(const Rect& a, const Rect& b) { return overlap_x(a, b) > 0 && overlap_y(a, b) > 0; }

// One byte per pixel: its grey, or whether it is ink.
struct Plane {
  int width = 0, height = 0;
  std::vector<std::uint8_t> values;  // [height, width]

  std::uint8_t* row(int y) { return values.data() + std::int64_t{y} * width; }
  const std::uint8_t* row(int y) const { return values.data() + std::int64_t{y} * width; }
};

// Connected ink: a letter, a few that touch, a drawing.
struct Mark {
  Rect box;
  int ink = 0;   // pixels
  int runs = 0;  // horizontal runs of ink: ink / runs is about the thickness of its strokes
};

// A thin straight line.
struct Rule {
  Rect box;
  bool horizontal = true;
};

// The page in grey, smaller by a whole factor so that it has at most so many pixels; never less than 1×1. Light ink on dark
// paper is turned into dark on light.
struct GreyPage {
  Plane grey;
  int factor = 1;
};
GreyPage grey_page(const Image& page, std::int64_t most_pixels);

// 1 where there is ink: darker than the paper around, whose brightness may vary over the page. Of a whole page, also darker
// than its grain; pictures of text may have too little paper to know that.
Plane find_ink(const Plane& grey, bool whole_page = false);

// Connected ink (8 neighbours) inside a rectangle, in no order, without marks of fewer pixels. Of very many the small ones
// are left out.
std::vector<Mark> find_marks(const Plane& ink, const Rect& within, int fewest_pixels);

// Thin straight lines at least that long, horizontal and vertical ones. Erases them from the ink.
std::vector<Rule> take_rules(Plane& ink, int shortest, int thickest);

// The height of most letters that rise above the line: 0 where there are no marks like letters.
int letter_height(const std::vector<Mark>& marks);

}  // namespace glmocr::layout
