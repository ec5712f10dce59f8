// SPDX-License-Identifier: Apache-2.0
#include "regions/blocks.h"

#include <cmath>
#include <iterator>
#include <map>

#include "regions/row_index.h"

namespace glmocr::layout {
namespace {

// In heights of letters:
constexpr double kLargestPitch = 2.35;  // of lines that belong together, whatever is usual on the page
constexpr double kLeastIndent = 0.6, kMostIndent = 5;
constexpr double kNarrow = 9;      // columns of numbers, markers
constexpr double kShortLine = 24;  // the mean width of lines of programs and tables, at most
constexpr double kRowGap = 14;     // between what stands in one row: markers, numbers, single lines
constexpr double kCellGap = 6;     // the same for several lines
constexpr double kPartOfColumn = 7;
constexpr double kColumn = 15;  // the width of a column of running text, at least

constexpr double kWidePitch = 1.35;  // of the usual one: a new paragraph
constexpr double kOtherSize = 1.14;  // ratio of heights of letters in one paragraph
constexpr double kOtherStroke = 1.06;
constexpr double kOtherWeight = 1.32;
constexpr std::size_t kManyRows = 15, kMostRows = 400, kMostWideLines = 3000;
constexpr int kMostLinesBelow = 300;  // looked at for each line

// The lines right below a line: those of nearly the same baseline, nearest first.
std::vector<int> right_below(const std::vector<TextLine>& lines, std::size_t i, int reach, int same_row) {
  std::vector<int> below;
  const TextLine& line = lines[i];
  const std::size_t end = std::min(lines.size(), i + 1 + kMostLinesBelow);
  for (std::size_t j = i + 1; j < end; ++j) {
    const int pitch = lines[j].baseline - line.baseline;
    if (pitch > reach) break;
    if (!below.empty() && lines[j].baseline > lines[below[0]].baseline + same_row) break;
    if (pitch <= same_row / 2 || overlap_x(line.box, lines[j].box) <= 0) continue;
    below.push_back(static_cast<int>(j));
  }
  return below;
}

bool alike(const TextLine& a, const TextLine& b) {
  const auto ratio = [](double p, double q) { return std::max(p, q) / std::max(1e-6, std::min(p, q)); };
  // Brackets make some letters higher, capitals others: another size changes both, and the strokes.
  const auto larger = [&](const TextLine& p, const TextLine& q) {
    return p.letter_height > kOtherSize * q.letter_height && p.low_height > kOtherSize * q.low_height &&
           p.stroke > kOtherStroke * q.stroke;
  };
  if (a.letters >= 6 && b.letters >= 6 && (larger(a, b) || larger(b, a))) return false;
  return a.letters < 6 || b.letters < 6 || ratio(a.stroke, b.stroke) <= kOtherWeight;
}

bool rule_between(const TextLine& above, const TextLine& below, const std::vector<Rule>& rules) {
  const int y0 = above.baseline - above.letter_height / 2, y1 = below.baseline - below.letter_height / 2;
  const int least = std::min(above.box.width(), below.box.width()) / 2;
  return std::any_of(rules.begin(), rules.end(), [&](const Rule& rule) {
    return rule.horizontal && rule.box.y0 > y0 && rule.box.y1 < y1 &&
           overlap_x(rule.box, above.box) > least && overlap_x(rule.box, below.box) > least;
  });
}

Block block_of(std::vector<TextLine> lines) {
  Block block;
  block.box = lines[0].box;
  for (const TextLine& line : lines) block.box = united(block.box, line.box);
  block.lines = std::move(lines);
  return block;
}

int median(std::vector<int> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

std::vector<int> pitches_of(const std::vector<TextLine>& lines) {
  std::vector<int> pitches;
  for (std::size_t i = 1; i < lines.size(); ++i) pitches.push_back(lines[i].baseline - lines[i - 1].baseline);
  return pitches;
}

bool is_justified(const Block& block, int letter_height) {
  int full = 0;
  for (const TextLine& line : block.lines) full += line.box.x1 > block.box.x1 - letter_height;
  return block.lines.size() >= 4 && 10 * full >= 6 * std::ssize(block.lines) &&
         block.box.width() > 15 * letter_height;
}

// Paragraphs of a column of lines of one kind.
void split_paragraphs(const Block& column, const PageMeasures& page, std::vector<Block>& found) {
  const std::vector<int> pitches = pitches_of(column.lines);
  const int usual = pitches.size() >= 2 ? median(pitches) : page.pitch;
  const bool justified = is_justified(column, page.letter_height);
  const auto indent = [&](std::size_t i) { return column.lines[i].box.x0 - column.box.x0; };
  std::vector<TextLine> lines;
  for (std::size_t i = 0; i < column.lines.size(); ++i) {
    bool starts = i > 0 && usual > 0 && pitches[i - 1] > kWidePitch * usual;
    if (i > 0 && justified) {
      const bool indented =
          indent(i) > kLeastIndent * page.letter_height && indent(i) < kMostIndent * page.letter_height;
      const bool next_is_not = i + 1 == column.lines.size() || indent(i + 1) < page.letter_height / 3;
      starts |= indented && next_is_not && indent(i - 1) < page.letter_height / 3;
    }
    if (starts) found.push_back(block_of(std::move(lines))), lines.clear();
    lines.push_back(column.lines[i]);
  }
  found.push_back(block_of(std::move(lines)));
}

// How many lines of `few` have a line of `many` in their row.
int rows_shared(const Block& few, const Block& many, int letter_height) {
  const int near = letter_height / 3;
  int shared = 0;
  for (const TextLine& line : few.lines) {
    const auto other =
        std::lower_bound(many.lines.begin(), many.lines.end(), line.baseline - near,
                         [](const TextLine& p, int baseline) { return p.baseline < baseline; });
    shared += other != many.lines.end() && other->baseline <= line.baseline + near;
  }
  return shared;
}

double mean_line_width(const Block& block) {
  double sum = 0;
  for (const TextLine& line : block.lines) sum += line.box.width();
  return sum / std::max<double>(1, double(block.lines.size()));
}

int widest_line(const Block& block) {
  int widest = 0;
  for (const TextLine& line : block.lines) widest = std::max(widest, line.box.width());
  return widest;
}

// A column of numbers, markers or names beside what they belong to. A heading may stand above it.
bool goes_with(const Block& narrow, const Block& other, const PageMeasures& page) {
  if (narrow.box.width() > kNarrow * page.letter_height) return false;
  const bool is_fewer = narrow.lines.size() <= other.lines.size();
  const Block &few = is_fewer ? narrow : other, &many = is_fewer ? other : narrow;
  const auto beside = std::count_if(few.lines.begin(), few.lines.end(),
                                    [&](const TextLine& line) { return overlap_y(line.box, many.box) > 0; });
  if (beside < 2 && beside < std::ssize(few.lines)) return false;
  return rows_shared(few, many, page.letter_height) >= 0.8 * double(beside);
}

bool is_text(const Block& block) { return block.label == RegionLabel::text && !block.lines.empty(); }

}  // namespace

int usual_pitch(const std::vector<TextLine>& lines, int letter_height) {
  std::map<int, std::int64_t> votes;
  for (std::size_t i = 0; i < lines.size(); ++i) {
    const std::vector<int> below = right_below(lines, i, 6 * letter_height, std::max(1, letter_height / 2));
    if (below.empty()) continue;
    const int pitch = lines[below[0]].baseline - lines[i].baseline;
    if (pitch < letter_height) continue;
    for (int near = -1; near <= 1; ++near)
      votes[pitch + near] += overlap_x(lines[i].box, lines[below[0]].box);
  }
  int best = 0;
  std::int64_t most = 0;
  for (const auto& [pitch, count] : votes)
    if (count > most) best = pitch, most = count;
  return best;
}

std::vector<Block> find_blocks(std::vector<TextLine> lines, const std::vector<Rule>& rules,
                               const PageMeasures& page) {
  std::sort(lines.begin(), lines.end(), [](const TextLine& a, const TextLine& b) {
    return a.baseline != b.baseline ? a.baseline < b.baseline : a.box.x0 < b.box.x0;
  });
  const int same_row = std::max(1, page.letter_height / 2);
  std::vector<std::vector<int>> below(lines.size());
  std::vector<int> above(lines.size(), 0);
  for (std::size_t i = 0; i < lines.size(); ++i) {
    const double size = std::max(lines[i].letter_height, page.letter_height / 2);
    const double usual = kWidePitch * page.pitch * std::max(1.0, size / page.letter_height);
    below[i] = right_below(lines, i, static_cast<int>(std::max(usual, kLargestPitch * size)), same_row);
    for (const int j : below[i]) ++above[j];
  }
  Sets sets(lines.size());
  for (std::size_t i = 0; i < lines.size(); ++i) {
    if (below[i].size() != 1) continue;
    const int j = below[i][0];
    const int narrower = std::min(lines[i].box.width(), lines[j].box.width());
    if (above[j] != 1 || 2 * overlap_x(lines[i].box, lines[j].box) < narrower) continue;
    if (alike(lines[i], lines[j]) && !rule_between(lines[i], lines[j], rules))
      sets.unite(static_cast<int>(i), j);
  }
  std::vector<std::vector<TextLine>> columns(lines.size());
  for (std::size_t i = 0; i < lines.size(); ++i)
    columns[sets.root(static_cast<int>(i))].push_back(std::move(lines[i]));
  std::vector<Block> blocks;
  for (std::vector<TextLine>& column : columns)
    if (!column.empty()) split_paragraphs(block_of(std::move(column)), page, blocks);
  return blocks;
}

namespace {

void add(Block& block, Block other) {
  block.box = united(block.box, other.box);
  block.braces += other.braces;
  block.lines.insert(block.lines.end(), std::make_move_iterator(other.lines.begin()),
                     std::make_move_iterator(other.lines.end()));
}

void sort_lines(Block& block) {
  std::stable_sort(block.lines.begin(), block.lines.end(),
                   [](const TextLine& p, const TextLine& q) { return p.baseline < q.baseline; });
}

}  // namespace

Block joined(Block a, Block b) {
  add(a, std::move(b));
  sort_lines(a);
  return a;
}

namespace {

// The white on the left of a column of running text, as high as this: where several wide lines begin at one place, and as
// much stands on the left of it.
std::vector<Rect> find_gutters(const std::vector<Block>& blocks, const PageMeasures& page) {
  std::vector<Rect> lines;
  for (const Block& block : blocks)
    if (is_text(block))
      for (const TextLine& line : block.lines)
        if (line.box.width() >= kPartOfColumn * page.letter_height) lines.push_back(line.box);
  std::sort(lines.begin(), lines.end(), [](const Rect& a, const Rect& b) { return a.x0 < b.x0; });
  std::vector<Rect> gutters;
  if (lines.size() > kMostWideLines) return gutters;
  for (std::size_t i = 0; i < lines.size();) {
    // Lines that begin here.
    std::size_t end = i;
    Rect column = lines[i];
    int wide = 0;
    for (; end < lines.size() && lines[end].x0 <= lines[i].x0 + page.letter_height / 2; ++end) {
      column = united(column, lines[end]);
      wide += lines[end].width() >= kColumn * page.letter_height;
    }
    int left = 0, left_end = 0, crossing = 0;
    for (const Rect& line : lines) {
      if (overlap_y(line, column) <= 0 || line.x0 >= column.x0 - page.letter_height) continue;
      crossing += line.x1 > column.x0;
      if (line.x1 > column.x0) continue;
      ++left;
      left_end = std::max(left_end, line.x1);
    }
    if (wide >= 4 && left >= 3 && 2 * left >= static_cast<int>(end - i) && 8 * crossing <= left)
      gutters.push_back({left_end, column.y0, column.x0, column.y1});
    i = end;
  }
  return gutters;
}

// As far up and down as no block crosses them.
void extend(std::vector<Rect>& gutters, const std::vector<Block>& blocks, const PageMeasures& page) {
  for (Rect& gutter : gutters) {
    int top = 0, bottom = page.height;
    const int middle = (gutter.x0 + gutter.x1) / 2;
    for (const Block& block : blocks) {
      if (block.box.x0 >= middle || block.box.x1 <= middle) continue;
      if (block.box.y1 <= gutter.y0) top = std::max(top, block.box.y1);
      if (block.box.y0 >= gutter.y1) bottom = std::min(bottom, block.box.y0);
    }
    gutter.y0 = std::min(gutter.y0, top);
    gutter.y1 = std::max(gutter.y1, bottom);
  }
}

bool has_gutter_between(const Rect& a, const Rect& b, const std::vector<Rect>& gutters) {
  const Rect &left = a.x0 < b.x0 ? a : b, &right = a.x0 < b.x0 ? b : a;
  return std::any_of(gutters.begin(), gutters.end(), [&](const Rect& gutter) {
    const int middle = (gutter.x0 + gutter.x1) / 2;
    return (left.x0 + left.x1) / 2 < middle && middle < (right.x0 + right.x1) / 2 &&
           overlap_y(left, gutter) > 0 && overlap_y(right, gutter) > 0;
  });
}

// Joins pairs of blocks that `belong` together until none is left; each block meets those whose rows it shares.
template <class Belong>
void join_pairs(std::vector<Block>& blocks, const PageMeasures& page, int reach, Belong belong) {
  constexpr int kMostRounds = 4;
  for (int round = 0; round < kMostRounds; ++round) {
    RowIndex index(page.height, 2 * page.letter_height);
    Sets sets(blocks.size());
    bool changed = false;
    for (std::size_t i = 0; i < blocks.size(); ++i) {
      const Rect& box = blocks[i].box;
      for (int y = std::max(0, box.y0 - reach); y < box.y1 + reach + index.band(); y += index.band()) {
        const std::vector<int>& before = index.at(y);
        const std::size_t from = before.size() > 64 ? before.size() - 64 : 0;
        for (std::size_t k = from; k < before.size(); ++k) {
          const int j = before[k];
          if (sets.root(j) == sets.root(static_cast<int>(i)) || !belong(blocks[j], blocks[i])) continue;
          sets.unite(j, static_cast<int>(i));
          changed = true;
        }
      }
      index.add(static_cast<int>(i), box.y0, box.y1);
    }
    if (!changed) return;
    blocks = united_items(sets, std::move(blocks), add);
    for (Block& block : blocks) sort_lines(block);
  }
}

}  // namespace

void join_overlaps(std::vector<Block>& blocks, const PageMeasures& page) {
  const int near = std::max(1, page.letter_height / 4);
  join_pairs(blocks, page, near, [&](const Block& a, const Block& b) {
    if (!is_text(a) || !is_text(b)) return false;
    const Rect both = common(a.box, b.box);
    const Rect& smaller = a.box.area() <= b.box.area() ? a.box : b.box;
    if (both.width() > 0 && both.height() > 0 && 2 * both.area() >= smaller.area()) return true;
    // Numerator and denominator, limits: short and nearly touching.
    const bool is_short = a.lines.size() + b.lines.size() <= 8 && smaller.width() < 12 * page.letter_height;
    const bool touch = both.height() > -near && 10 * both.width() >= 6 * smaller.width();
    const bool tight = both.height() > 0 || smaller.height() < page.letter_height;
    return is_short && touch && tight;
  });
}

namespace {

// Wide text, whose right end is where page numbers stand in a table of contents.
std::vector<Rect> wide_text(const std::vector<Block>& blocks, const PageMeasures& page) {
  constexpr std::size_t kMost = 300;
  std::vector<Rect> wide;
  for (const Block& block : blocks)
    if (is_text(block) && block.box.width() >= kColumn * page.letter_height && wide.size() < kMost)
      wide.push_back(block.box);
  return wide;
}

// A page number far to the right of its entry, in one row with it, at the right end of the column. Not in the first and last
// rows of the page, which may be a header or a footer.
bool is_entry(const Block& entry, const Block& number, const std::vector<Rect>& wide, const Rect& inner,
              const PageMeasures& page) {
  constexpr int kMostDigits = 4;
  constexpr double kNumber = 3, kBracket = 1.1;  // heights of letters
  if (number.lines.size() == 1 && number.lines[0].tallest > kBracket * page.letter_height)
    return false;  // "(1)", the number of a formula
  if (entry.lines.size() != 1 || number.lines.size() != 1 || number.lines[0].letters > kMostDigits)
    return false;
  if (number.box.width() > kNumber * page.letter_height || number.box.x0 < entry.box.x1) return false;
  if (number.box.y0 < inner.y0 || number.box.y1 > inner.y1) return false;
  const int near = page.letter_height / 2;
  if (std::abs(entry.lines[0].baseline - number.lines[0].baseline) > near) return false;
  return std::any_of(wide.begin(), wide.end(), [&](const Rect& column) {
    return std::abs(column.x1 - number.box.x1) <= near && overlap_x(column, entry.box) > 0;
  });
}

// What lies between the first and the last row.
Rect without_outer_rows(const std::vector<Block>& blocks, const PageMeasures& page) {
  int first = page.height, last = 0;
  for (const Block& block : blocks)
    first = std::min(first, block.box.y1), last = std::max(last, block.box.y0);
  return {0, first, page.width, last};
}

}  // namespace

void join_rows(std::vector<Block>& blocks, const PageMeasures& page) {
  std::vector<Rect> gutters = find_gutters(blocks, page);
  extend(gutters, blocks, page);
  const std::vector<Rect> wide = wide_text(blocks, page);
  const Rect inner = without_outer_rows(blocks, page);
  join_pairs(blocks, page, 0, [&](const Block& a, const Block& b) {
    if (!is_text(a) || !is_text(b) || overlap_y(a.box, b.box) <= 0) return false;
    if ((is_entry(a, b, wide, inner, page) || is_entry(b, a, wide, inner, page)) &&
        !has_gutter_between(a.box, b.box, gutters))
      return true;
    if (a.lines.size() + b.lines.size() > kMostRows) return false;
    const double gap = -overlap_x(a.box, b.box);
    if (gap < 0 || gap > kRowGap * page.letter_height || has_gutter_between(a.box, b.box, gutters))
      return false;
    if (goes_with(a, b, page) || goes_with(b, a, page)) return true;
    if (std::min(a.lines.size(), b.lines.size()) >= kManyRows) return false;  // columns of an index
    // Short lines that share their rows, without being columns of running text.
    const bool a_is_fewer = a.lines.size() <= b.lines.size();
    const Block &few = a_is_fewer ? a : b, &many = a_is_fewer ? b : a;
    if (rows_shared(few, many, page.letter_height) < 0.8 * double(few.lines.size())) return false;
    if (many.lines.size() > 1 && gap > kCellGap * page.letter_height) return false;
    if (widest_line(few) >= kColumn * page.letter_height && widest_line(many) >= kColumn * page.letter_height)
      return false;
    return mean_line_width(few) <= kShortLine * page.letter_height &&
           mean_line_width(many) <= kShortLine * page.letter_height;
  });
}

}  // namespace glmocr::layout
