// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <optional>

#include "base/box.h"
#include "regions/page_analysis.h"
#include "regions/page_regions.h"
#include "regions/split_page.h"

namespace glmocr {
namespace {

using layout::Block;
using layout::PageAnalysis;
using layout::Rect;
using layout::TextLine;

constexpr double kCovered = 0.5;         // share of a line that regions hold, at least
constexpr double kMissedPicture = 0.25;  // share of a figure or a table that they hold, at most
constexpr double kLowestLetters = 0.5;   // of those of the page: lower ones are grain
constexpr int kFewestBeside = 12;        // letters of text outside all regions, where more than paper is seen

// How much of a box the regions hold, 0 … 1: that of whichever holds most, or of all together if they are told apart by rows
// or columns. A list of references does not count, because only its entries are read.
double covered_share(const Box& box, std::span<const Region> regions) {
  double sum = 0;
  for (const Region& region : regions) {
    if (region.label != RegionLabel::reference) sum += common_area(box, region.box);
  }
  return area(box) > 0 ? std::min(1.0, sum / area(box)) : 1;
}

// Whether a stands in the column of b.
bool share_column(const Box& a, const Box& b) {
  return 2 * common_width(a, b) > std::min(a.x1 - a.x0, b.x1 - b.x0);
}

// Where a box belongs: behind the lowest region above it in its column, else before the highest below, else by its height.
std::size_t place_of(const Box& box, const std::vector<Region>& regions) {
  std::optional<std::size_t> above, below;
  std::size_t by_height = 0;
  const double middle = (box.y0 + box.y1) / 2;
  for (std::size_t i = 0; i < regions.size(); ++i) {
    const Box& other = regions[i].box;
    const double other_middle = (other.y0 + other.y1) / 2;
    if (other_middle <= middle) by_height = i + 1;
    if (!share_column(box, other)) continue;
    if (other_middle <= middle && (!above || other.y1 >= regions[*above].box.y1)) above = i;
    if (other_middle > middle && (!below || other.y0 < regions[*below].box.y0)) below = i;
  }
  if (above) return *above + 1;
  return below ? *below : by_height;
}

// Whether letters of one of the lines are high enough to be read.
bool has_letters(const Block& block, const PageAnalysis& analysis) {
  return std::ranges::any_of(block.lines, [&](const TextLine& line) {
    return std::max(line.letter_height, line.low_height) >= kLowestLetters * analysis.measures.letter_height;
  });
}

// Whether a block stands outside everything that was given.
bool is_beside(const Box& box, std::span<const Region> regions) {
  if (regions.empty()) return false;
  Box all = regions[0].box;
  for (const Region& region : regions) all = united(all, region.box);
  return 2 * common_area(box, all) < area(box);
}

// Dust, and on photographs the edges of the paper and what lies beside it.
bool is_dirt(const Block& block, const PageAnalysis& analysis, const Image& page,
             std::span<const Region> given) {
  if (!block.lines.empty() && !has_letters(block, analysis)) return true;
  if (!analysis.has_surround || !is_beside(layout::page_box(block.box, analysis, page, 0), given))
    return false;
  int letters = 0;
  for (const TextLine& line : block.lines) letters += line.letters;
  return letters < kFewestBeside;
}

bool holds_lines(const Region& region) {
  return region.label != RegionLabel::reference && region.task != RegionTask::picture &&
         region.task != RegionTask::table && region.task != RegionTask::formula;
}

// Takes a line in, if a good part of it is inside already; else moves the edge off it, so that no letters are cut.
void take_line(Box& box, const Box& line) {
  constexpr double kBeside =
      0.6;  // of the line's length inside the region: it belongs to the region's column
  constexpr double kInside = 0.35;  // of its height: the line is the region's own
  const double width = line.x1 - line.x0, height = line.y1 - line.y0;
  const double inside = common_height(box, line) / height;
  if (inside <= 0 || common_width(box, line) < kBeside * width) return;
  if (inside >= kInside) {
    box = united(box, line);
  } else if (box.y1 - box.y0 > 2 * height) {
    if (line.y0 < box.y0) box.y0 = line.y1;
    if (line.y1 > box.y1) box.y1 = line.y0;
  }
}

// Whether the owner of a line holds most of what another region has of its width. Not where they stand side by side.
bool holds_part(const Box& owner, const Box& other, const Box& line) {
  const Box part{std::max(other.x0, line.x0), line.y0, std::min(other.x1, line.x1), line.y1};
  return common_area(part, owner) >= area(part) / 2;
}

// Moves the upper or lower edge behind a line that belongs to another region, if that is near the edge.
void leave_line(Box& box, const Box& line) {
  constexpr double kNear = 2.5;  // lines
  const double near = kNear * (line.y1 - line.y0);
  const double from_above = line.y1 - box.y0, from_below = box.y1 - line.y0;
  if (from_above <= from_below && from_above <= near) box.y0 = std::max(box.y0, line.y1);
  if (from_below < from_above && from_below <= near) box.y1 = std::min(box.y1, line.y0);
}

// Each line belongs to the region that holds most of it, of equals to the surer one: the others end before it. So no line is
// cut, or read twice.
void share_out_lines(std::vector<Region>& regions, const PageAnalysis& analysis, const Image& page) {
  constexpr double kAlike = 0.9;
  const std::vector<Region> before = regions;
  for (const Block& block : analysis.blocks) {
    for (const TextLine& text : block.lines) {
      const Box line = layout::page_box(text.box, analysis, page, 0);
      std::ptrdiff_t owner = -1;
      for (std::ptrdiff_t i = 0; i < std::ssize(before); ++i) {
        const double holds = common_area(line, before[i].box);
        if (holds == 0) continue;
        const double most = owner < 0 ? 0 : common_area(line, before[owner].box);
        const bool surer = owner < 0 || before[i].score > before[owner].score;
        if (holds * kAlike > most || (holds > kAlike * most && surer)) owner = i;
      }
      if (owner < 0) continue;
      if (holds_lines(regions[owner])) take_line(regions[owner].box, line);
      for (std::ptrdiff_t i = 0; i < std::ssize(before); ++i) {
        if (i != owner && holds_lines(regions[i]) && common_area(line, regions[i].box) > 0 &&
            holds_part(regions[owner].box, regions[i].box, line))
          leave_line(regions[i].box, line);
      }
    }
  }
  for (std::size_t i = 0; i < regions.size(); ++i) {
    const Box &old = before[i].box, &box = regions[i].box;
    if (old.x0 != box.x0 || old.y0 != box.y0 || old.x1 != box.x1 || old.y1 != box.y1)
      regions[i].polygon.clear();
  }
  std::erase_if(regions, [](const Region& region) {
    return region.box.x1 <= region.box.x0 || region.box.y1 <= region.box.y0;
  });
}

}  // namespace

std::vector<Region> uncovered_text(const Image& page, std::span<const Region> regions,
                                   const SplitOptions& options) {
  const PageAnalysis analysis = layout::analyse_page(page, options);
  std::vector<Region> given(regions.begin(), regions.end());
  share_out_lines(given, analysis, page);
  std::vector<Region> result = given;
  const auto add = [&](const Block& block) {
    if (is_dirt(block, analysis, page, given)) return;
    Region region = layout::region_of(block, analysis, page, options);
    result.insert(result.begin() + static_cast<std::ptrdiff_t>(place_of(region.box, result)),
                  std::move(region));
  };
  const auto is_covered = [&](const Rect& box) {
    return covered_share(layout::page_box(box, analysis, page, 0), given) >= kCovered;
  };
  for (const Block& block : analysis.blocks) {
    const double share = covered_share(layout::page_box(block.box, analysis, page, 0), given);
    const bool has_lines = !block.lines.empty();
    if (region_task(block.label) == RegionTask::picture || block.label == RegionLabel::table || !has_lines) {
      if (share <= kMissedPicture) add(block);
      if (share <= kMissedPicture || !has_lines) continue;
    }
    // Runs of lines that are not covered.
    Block missed;
    bool whole = true;
    std::vector<Block> parts;
    for (const TextLine& line : block.lines) {
      if (is_covered(line.box)) {
        whole = false;
        if (!missed.lines.empty()) parts.push_back(std::move(missed));
        missed = Block();
        continue;
      }
      missed.box = missed.lines.empty() ? line.box : layout::united(missed.box, line.box);
      missed.lines.push_back(line);
    }
    if (whole) {
      add(block);
      continue;
    }
    if (!missed.lines.empty()) parts.push_back(std::move(missed));
    for (const Block& part : parts) add(part);
  }
  return result;
}

}  // namespace glmocr
