// SPDX-License-Identifier: Apache-2.0
#include "regions/text_rows.h"

#include <algorithm>
#include <cmath>
#include <cstddef>

#include "regions/crop.h"
#include "regions/page_analysis.h"

namespace glmocr {
namespace {

using layout::Block;
using layout::PageAnalysis;
using layout::Plane;
using layout::Rect;
using layout::TextLine;

constexpr double kTypewriter = 0.6;  // the share of letters at equal distances
constexpr double kDrawn = 0.25;      // of a picture: it is none of text

// In heights of letters:
constexpr double kMargin = 0.25;
constexpr double kTall = 2.2;    // no letter is so tall
constexpr double kCutOff = 0.4;  // at the edge
constexpr double kLeaderHeight = 0.35, kLeaderWidth = 3;
constexpr double kKeptLeader = 3, kLeaderGap = 0.75;
constexpr double kSamePlace = 0.4;  // of beginnings of lines
constexpr double kLeastHang = 0.6, kMostHang = 5;
constexpr double kSignGap = 0.22;   // between the sign of a list and its text
constexpr double kSignPlace = 0.3;  // how far that text may be from the beginning of the other lines

// A row in pixels of the analysis.
struct Row {
  Rect box;
  Rect leader;
  bool typewriter = false;

  bool has_leader() const { return leader.width() > 0; }
};

bool is_leader(const Rect& word, int letter_height) {
  return word.height() <= kLeaderHeight * letter_height && word.width() >= kLeaderWidth * letter_height;
}

Row row_of(const TextLine& line, int letter_height) {
  Row row{line.box, {}, line.even_pitch >= kTypewriter};
  for (const Rect& word : line.words)
    if (is_leader(word, letter_height) && word.width() > row.leader.width()) row.leader = word;
  return row;
}

// A line, or its words where something tall beside them, such as a sign over two lines, holds several lines together.
void add_items(const TextLine& line, int letter_height, std::vector<Row>& items) {
  const auto is_tall = [&](const Rect& box) { return box.height() > kTall * letter_height; };
  const bool all_tall = std::all_of(line.words.begin(), line.words.end(), is_tall);
  if (!is_tall(line.box) || all_tall) {
    items.push_back(row_of(line, letter_height));
    return;
  }
  for (const Rect& word : line.words)
    if (!is_tall(word))
      items.push_back({word, is_leader(word, letter_height) ? word : Rect(), line.even_pitch >= kTypewriter});
}

// What the edge of the picture left of letters outside.
bool is_cut_off(const Rect& box, const PageAnalysis& analysis) {
  const bool at_edge = box.y0 <= 1 || box.y1 >= analysis.measures.height - 1;
  return at_edge && box.height() < kCutOff * analysis.measures.letter_height;
}

// Whether drawings take much of the picture.
bool is_drawn(const PageAnalysis& analysis) {
  std::int64_t drawn = 0;
  for (const Block& block : analysis.blocks) drawn += block.lines.empty() ? block.box.area() : 0;
  return double(drawn) > kDrawn * double(analysis.measures.width) * double(analysis.measures.height);
}

// Joins what shares its height.
std::vector<Row> rows_of(const PageAnalysis& analysis) {
  std::vector<Row> items;
  if (is_drawn(analysis)) return items;
  for (const Block& block : analysis.blocks)
    for (const TextLine& line : block.lines) add_items(line, analysis.measures.letter_height, items);
  std::erase_if(items, [&](const Row& item) { return is_cut_off(item.box, analysis); });
  std::stable_sort(items.begin(), items.end(),
                   [](const Row& a, const Row& b) { return a.box.y0 + a.box.y1 < b.box.y0 + b.box.y1; });
  std::vector<Row> rows;
  for (const Row& item : items) {
    const auto joins = [&](const Row& row) {
      return 2 * overlap_y(row.box, item.box) > std::min(row.box.height(), item.box.height());
    };
    if (rows.empty() || !joins(rows.back())) {
      rows.push_back(item);
      continue;
    }
    Row& row = rows.back();
    row.box = united(row.box, item.box);
    if (item.leader.width() > row.leader.width()) row.leader = item.leader;
    row.typewriter &= item.typewriter;
  }
  return rows;
}

// With white around, as far as the middle between the rows.
Rect with_margin(const std::vector<Row>& rows, std::size_t i, int margin) {
  Rect box = grown(rows[i].box, margin);
  if (i > 0) box.y0 = std::max(box.y0, std::min(rows[i].box.y0, (rows[i - 1].box.y1 + rows[i].box.y0) / 2));
  if (i + 1 < rows.size())
    box.y1 = std::min(box.y1, std::max(rows[i].box.y1, (rows[i].box.y1 + rows[i + 1].box.y0) / 2));
  return box;
}

Box picture_box(const Rect& rect, int factor, const Image& picture) {
  const auto edge = [&](int at, int most) { return static_cast<double>(std::clamp(at * factor, 0, most)); };
  return {edge(rect.x0, picture.width), edge(rect.y0, picture.height), edge(rect.x1, picture.width),
          edge(rect.y1, picture.height)};
}

Image cut(const Image& picture, const Box& box) {
  Region region;
  region.box = box;
  return crop_region(picture, region, {.margin = 0});
}

// Whether ink ends, and white begins that ends at x: what stands before it is a sign of its own.
bool has_sign_before(const Plane& ink, const Row& row, int x, int letter_height) {
  const int near = std::max(1, static_cast<int>(std::lround(kSignPlace * letter_height)));
  const int gap = std::max(2, static_cast<int>(std::lround(kSignGap * letter_height)));
  const auto is_white = [&](int column) {
    for (int y = row.box.y0; y < row.box.y1; ++y)
      if (ink.row(y)[column] != 0) return false;
    return true;
  };
  int white = 0;
  for (int column = row.box.x0; column <= std::min(x + near, row.box.x1 - 1); ++column) {
    if (is_white(column)) {
      ++white;
      continue;
    }
    if (white >= gap && column >= x - near) return true;
    white = 0;
  }
  return false;
}

// Where paragraphs hang out to the left: the place at which their other lines begin; -1 elsewhere.
int hanging_indent(const std::vector<Row>& rows, int letter_height) {
  const int near = static_cast<int>(std::lround(kSamePlace * letter_height));
  int left = rows[0].box.x0;
  for (const Row& row : rows) left = std::min(left, row.box.x0);
  int indent = -1;
  for (const Row& row : rows) {
    const int x = row.box.x0;
    if (x <= left + near) continue;
    if (x < left + kLeastHang * letter_height || x > left + kMostHang * letter_height) return -1;
    if (indent >= 0 && std::abs(x - indent) > near) return -1;
    if (indent < 0) indent = x;
  }
  return rows[0].box.x0 <= left + near ? indent : -1;
}

// The first rows of pieces of hanging paragraphs: their first lines where no sign stands before them, and what follows.
std::vector<std::size_t> hanging_starts(const Plane& ink, const std::vector<Row>& rows, int letter_height) {
  std::vector<std::size_t> starts{0};
  const int indent = hanging_indent(rows, letter_height);
  if (indent < 0) return starts;
  const auto hangs = [&](std::size_t i) { return rows[i].box.x0 <= indent - letter_height / 2; };
  for (std::size_t i = 0; i + 1 < rows.size(); ++i) {
    if (!hangs(i) || hangs(i + 1) || rows[i].typewriter) continue;
    if (has_sign_before(ink, rows[i], indent, letter_height)) continue;
    if (starts.back() != i) starts.push_back(i);
    starts.push_back(i + 1);
    // Where the paragraph ends, so that the next one does not hang out of the same picture.
    std::size_t end = i + 1;
    while (end < rows.size() && !hangs(end)) ++end;
    if (end < rows.size()) starts.push_back(end);
  }
  return starts;
}

// Whether more of a row of dots or dashes is white than ink, from column to column, as it is of dots.
bool has_dots(const Image& picture, const Box& at) {
  const int x0 = static_cast<int>(at.x0), x1 = static_cast<int>(at.x1);
  const int y0 = static_cast<int>(at.y0), y1 = static_cast<int>(at.y1);
  std::vector<int> darkest(std::max(0, x1 - x0), 255);
  for (int y = y0; y < y1; ++y)
    for (int x = x0; x < x1; ++x) {
      const std::uint8_t* pixel = &picture.rgb[3 * (std::int64_t{y} * picture.width + x)];
      darkest[x - x0] = std::min(darkest[x - x0], (pixel[0] + pixel[1] + pixel[2]) / 3);
    }
  if (darkest.empty()) return false;
  const auto [least, most] = std::minmax_element(darkest.begin(), darkest.end());
  const int middle = (*least + *most) / 2;
  const auto ink = std::count_if(darkest.begin(), darkest.end(), [&](int value) { return value < middle; });
  return 10 * ink <= 6 * std::ssize(darkest);
}

struct Rows {
  PageAnalysis analysis;
  std::vector<Row> rows;

  explicit Rows(const Image& picture) : analysis(layout::analyse_page(picture, {})), rows(rows_of(analysis)) {
    for (Row& row : rows) {
      if (row.has_leader() && !has_dots(picture, picture_box(row.leader, analysis.factor, picture)))
        row.leader = {};
    }
  }
  int letter_height() const { return analysis.measures.letter_height; }
  Rect box(std::size_t i) const {
    return with_margin(rows, i, std::max(1, static_cast<int>(std::lround(kMargin * letter_height()))));
  }
};

}  // namespace

std::vector<TextRow> text_rows(const Image& picture) {
  const Rows found(picture);
  const int factor = found.analysis.factor;
  std::vector<TextRow> rows;
  for (std::size_t i = 0; i < found.rows.size(); ++i) {
    const Rect& leader = found.rows[i].leader;
    rows.push_back({picture_box(found.box(i), factor, picture),
                    found.rows[i].has_leader() ? picture_box(leader, factor, picture) : Box(),
                    factor * found.letter_height()});
  }
  return rows;
}

Image row_picture(const Image& picture, const TextRow& row) {
  Image whole = cut(picture, row.box);
  const int kept = static_cast<int>(kKeptLeader * row.letter_height);
  const int gap = static_cast<int>(kLeaderGap * row.letter_height);
  const int from = static_cast<int>(row.leader.x0 - row.box.x0) + kept;
  const int to = static_cast<int>(row.leader.x1 - row.box.x0);
  if (to - from <= gap || to > whole.width) return whole;
  Image shorter;
  shorter.width = whole.width - (to - from) + gap;
  shorter.height = whole.height;
  shorter.rgb.assign(std::int64_t{3} * shorter.width * shorter.height, 255);
  for (int y = 0; y < whole.height; ++y) {
    const auto old = whole.rgb.begin() + std::int64_t{3} * y * whole.width;
    const auto row_of_new = shorter.rgb.begin() + std::int64_t{3} * y * shorter.width;
    std::copy(old, old + std::int64_t{3} * from, row_of_new);
    std::copy(old + std::int64_t{3} * to, old + std::int64_t{3} * whole.width,
              row_of_new + std::int64_t{3} * (from + gap));
  }
  return shorter;
}

std::vector<Image> reading_pieces(const Image& picture) {
  std::vector<Image> pieces;
  const Rows found(picture);
  const std::size_t count = found.rows.size();
  const auto with_leader =
      std::count_if(found.rows.begin(), found.rows.end(), [](const Row& row) { return row.has_leader(); });
  if (with_leader > 0 && 2 * static_cast<std::size_t>(with_leader) >= count) {
    for (const TextRow& row : text_rows(picture)) pieces.push_back(row_picture(picture, row));
    return pieces;
  }
  const layout::GreyPage reduced = layout::grey_page(picture, std::int64_t{1} << 62);
  if (count < 2 || reduced.factor != found.analysis.factor) return pieces;
  const std::vector<std::size_t> starts =
      hanging_starts(layout::find_ink(reduced.grey), found.rows, found.letter_height());
  for (std::size_t i = 0; starts.size() > 1 && i < starts.size(); ++i) {
    const std::size_t end = i + 1 < starts.size() ? starts[i + 1] : count;
    Rect box = found.box(starts[i]);
    for (std::size_t row = starts[i]; row < end; ++row) box = united(box, found.box(row));
    pieces.push_back(cut(picture, picture_box(box, found.analysis.factor, picture)));
  }
  return pieces;
}

}  // namespace glmocr
