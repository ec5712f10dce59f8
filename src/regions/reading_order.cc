// SPDX-License-Identifier: Apache-2.0
// Cuts along white space (XY-cut). A page is cut into bands from above; neighbouring bands in which the same columns run on
// are one, so that a gap between paragraphs which happens to go through both columns does not mix them.
#include "regions/reading_order.h"

#include <limits>

namespace glmocr::layout {
namespace {

constexpr int kDeepest = 40;

struct Span {
  int from, to;
};

using Items = std::vector<int>;

class Cutter {
 public:
  Cutter(const std::vector<Rect>& boxes, int slack) : boxes_(boxes), slack_(slack) {}

  void read(Items items, int depth, std::vector<int>& order) const {
    if (items.size() <= 1 || depth > kDeepest) return append_from_above(std::move(items), order);
    std::vector<Items> bands = cut(items, false);
    merge_columns(bands);
    if (bands.size() > 1) {
      for (Items& band : bands) read(std::move(band), depth + 1, order);
      return;
    }
    std::vector<Items> columns = cut(items, true);
    if (columns.size() == 1) return append_from_above(std::move(items), order);
    for (Items& column : columns) read(std::move(column), depth + 1, order);
  }

 private:
  Span span(int item, bool along_x) const {
    const Rect& box = boxes_[item];
    // Not to nothing: a box that is thinner than the slack keeps its middle.
    const int from = along_x ? box.x0 : box.y0, to = along_x ? box.x1 : box.y1;
    const int less = std::min(slack_, (to - from - 1) / 2);
    return {from + less, to - less};
  }

  // Boxes may overlap a little where one stands above the other, not where they stand side by side.
  bool stands_beside(const Items& part, int item) const {
    const Rect& box = boxes_[item];
    return std::any_of(part.begin(), part.end(), [&](int other) {
      return overlap_y(boxes_[other], box) > 0 && overlap_x(boxes_[other], box) <= -slack_;
    });
  }

  // The parts between which a white line runs across all items.
  std::vector<Items> cut(Items items, bool along_x) const {
    std::stable_sort(items.begin(), items.end(),
                     [&](int a, int b) { return span(a, along_x).from < span(b, along_x).from; });
    std::vector<Items> parts;
    int end = std::numeric_limits<int>::min();
    for (const int item : items) {
      const Span here = span(item, along_x);
      const bool apart = parts.empty() || here.from >= end;
      if (apart && (parts.empty() || along_x || !stands_beside(parts.back(), item))) parts.emplace_back();
      parts.back().push_back(item);
      end = std::max(end, here.to);
    }
    return parts;
  }

  // The white gaps between columns.
  std::vector<Span> gaps(const Items& items) const {
    std::vector<Span> found;
    const std::vector<Items> columns = cut(items, true);
    for (std::size_t i = 1; i < columns.size(); ++i) {
      Span gap{std::numeric_limits<int>::min(), std::numeric_limits<int>::max()};
      for (const int item : columns[i - 1]) gap.from = std::max(gap.from, span(item, true).to);
      for (const int item : columns[i]) gap.to = std::min(gap.to, span(item, true).from);
      found.push_back(gap);
    }
    return found;
  }

  // What is left of the gaps where these items stand too.
  std::vector<Span> remaining(const std::vector<Span>& open, const Items& items) const {
    std::vector<Span> left;
    for (Span gap : open) {
      for (const int item : items) {
        const Span here = span(item, true);
        const bool is_left = here.from + here.to < gap.from + gap.to;
        (is_left ? gap.from : gap.to) = is_left ? std::max(gap.from, here.to) : std::min(gap.to, here.from);
      }
      if (gap.from < gap.to) left.push_back(gap);
    }
    return left;
  }

  int left_edge(const Items& items) const {
    int edge = std::numeric_limits<int>::max();
    for (const int item : items) edge = std::min(edge, boxes_[item].x0);
    return edge;
  }

  // A band of one column joins bands of several if it carries on one of their columns: begins where it does, ends before the
  // gap, and stands no further away than lines do.
  bool carries_on(const Items& columns, const Items& band, const std::vector<Span>& open) const {
    int bottom = 0, top = std::numeric_limits<int>::max();
    for (const int item : columns) bottom = std::max(bottom, boxes_[item].y1);
    for (const int item : band) top = std::min(top, boxes_[item].y0);
    if (top - bottom > 10 * slack_) return false;
    for (const Items& column : cut(columns, true)) {
      int right = 0;
      for (const int item : column) right = std::max(right, boxes_[item].x1);
      const int left = left_edge(column);
      int band_right = 0;
      for (const int item : band) band_right = std::max(band_right, boxes_[item].x1);
      if (std::abs(left_edge(band) - left) <= 6 * slack_ && 2 * (band_right - left) > right - left)
        return !open.empty();
    }
    return false;
  }

  void merge_columns(std::vector<Items>& bands) const {
    std::vector<Items> merged;
    std::vector<Span> open;  // the gaps of the last of `merged`
    for (Items& band : bands) {
      std::vector<Span> own = gaps(band);
      if (!merged.empty() && !open.empty()) {
        std::vector<Span> both = remaining(open, band);
        if (!both.empty() && (!own.empty() || carries_on(merged.back(), band, both))) {
          merged.back().insert(merged.back().end(), band.begin(), band.end());
          open = std::move(both);
          continue;
        }
      }
      merged.push_back(std::move(band));
      open = std::move(own);
    }
    bands = std::move(merged);
  }

  void append_from_above(Items items, std::vector<int>& order) const {
    std::stable_sort(items.begin(), items.end(), [&](int a, int b) {
      return boxes_[a].y0 != boxes_[b].y0 ? boxes_[a].y0 < boxes_[b].y0 : boxes_[a].x0 < boxes_[b].x0;
    });
    order.insert(order.end(), items.begin(), items.end());
  }

  const std::vector<Rect>& boxes_;
  int slack_;
};

}  // namespace

std::vector<int> reading_order(const std::vector<Rect>& boxes, int slack) {
  Items all(boxes.size());
  for (std::size_t i = 0; i < all.size(); ++i) all[i] = static_cast<int>(i);
  std::vector<int> order;
  Cutter(boxes, slack).read(std::move(all), 0, order);
  return order;
}

}  // namespace glmocr::layout
