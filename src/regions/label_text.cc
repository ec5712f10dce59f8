// SPDX-License-Identifier: Apache-2.0
// What a block of text is, by the size and weight of its letters and by its place. A label that leads to text being left out
// (headers, footers, page numbers, footnotes) is given only where several signs agree.
#include <cmath>

#include "regions/page_analysis.h"

namespace glmocr::layout {
namespace {

// Ratios to the letters of most text:
constexpr double kHeading = 1.13;    // the height of both capitals and small letters
constexpr double kFurniture = 1.35;  // the most
constexpr double kDocTitle = 1.4;
constexpr double kBold = 1.3;  // thickness of strokes
constexpr double kTypewriter =
    0.6;  // the share of letters at equal distances, in typewriter letters, whose strokes are thick
constexpr double kHeavier = 1.08;        // the same, of larger letters at least
constexpr double kFootnote = 0.93;       // at most
constexpr double kTallInHeading = 1.45;  // of its own letters
constexpr double kTallSign = 1.7;        // sums, integrals, fractions in one mark

constexpr double kTopMargin = 0.12, kBottomMargin = 0.86;  // of the page, where furniture stands
constexpr double kTitleArea = 0.55;                        // of the page, where its title ends

// In heights of letters:
constexpr double kHeaderGap = 0.9;   // to the text, from box to box
constexpr double kHeadingGap = 0.4;  // above
constexpr double kFormulaIndent = 2;
constexpr double kNumberWidth = 5;
constexpr double kFootnoteRule = 6;
constexpr double kCaptionGap = 3;

constexpr int kMostInFormula = 110, kMostInLine = 45;  // letters

struct Usual {
  double letter_height = 0, low_height = 0, stroke = 0;
  int letters = 0;
  int lines = 0;
};

// The middle of values that are counted by the letters of their line.
double weighted_median(std::vector<std::pair<double, int>> values) {
  std::sort(values.begin(), values.end());
  std::int64_t total = 0, so_far = 0;
  for (const auto& [value, weight] : values) total += weight;
  for (const auto& [value, weight] : values) {
    so_far += weight;
    if (2 * so_far >= total) return value;
  }
  return 0;
}

bool is_plain(const Block& block) { return block.label == RegionLabel::text && !block.lines.empty(); }

Usual usual_text(const std::vector<Block>& blocks) {
  std::vector<std::pair<double, int>> heights, low, strokes;
  Usual usual;
  for (const Block& block : blocks) {
    if (!is_plain(block)) continue;
    for (const TextLine& line : block.lines) {
      heights.emplace_back(line.letter_height, line.letters);
      low.emplace_back(line.low_height, line.letters);
      strokes.emplace_back(line.stroke, line.letters);
      usual.letters += line.letters;
      usual.lines += line.letters >= 8;
    }
  }
  usual.letter_height = weighted_median(std::move(heights));
  usual.low_height = weighted_median(std::move(low));
  usual.stroke = weighted_median(std::move(strokes));
  return usual;
}

Usual measured(const Block& block) { return usual_text({block}); }

// ---- Headers, footers, page numbers

// The white space to the nearest block below (above); the page's edge counts as far away.
int gap_to_next(const std::vector<Block>& blocks, const Block& block, bool below, const PageMeasures& page) {
  int gap = page.height;
  for (const Block& other : blocks) {
    if (&other == &block) continue;
    const int here = below ? other.box.y0 - block.box.y1 : block.box.y0 - other.box.y1;
    const bool in_row = overlap_y(other.box, block.box) > 0;
    if (!in_row && (below ? other.box.y1 > block.box.y1 : other.box.y0 < block.box.y0))
      gap = std::min(gap, here);
  }
  return gap;
}

bool is_outermost(const std::vector<Block>& blocks, const Block& block, bool top) {
  return std::none_of(blocks.begin(), blocks.end(), [&](const Block& other) {
    return top ? other.box.y1 <= block.box.y0 : other.box.y0 >= block.box.y1;
  });
}

bool has_rule(const std::vector<Rule>& rules, const Rect& box, bool below, const PageMeasures& page) {
  const int reach = 2 * page.letter_height;
  return std::any_of(rules.begin(), rules.end(), [&](const Rule& rule) {
    const int gap = below ? rule.box.y0 - box.y1 : box.y0 - rule.box.y1;
    return rule.horizontal && gap > -page.letter_height / 2 && gap < reach && overlap_x(rule.box, box) > 0 &&
           rule.box.width() > page.width / 4;
  });
}

bool is_number_like(const Block& block, const PageMeasures& page) {
  int letters = 0;
  for (const TextLine& line : block.lines) letters += line.letters;
  return block.lines.size() == 1 && letters <= 4 && block.box.width() <= kNumberWidth * page.letter_height;
}

// Blocks of one line in the row of another one.
std::vector<Block*> row_of(std::vector<Block>& blocks, const Block& block) {
  std::vector<Block*> row;
  for (Block& other : blocks)
    if (is_plain(other) && other.lines.size() == 1 &&
        2 * overlap_y(other.box, block.box) > std::min(other.box.height(), block.box.height()))
      row.push_back(&other);
  return row;
}

void label_furniture(std::vector<Block>& blocks, const std::vector<Rule>& rules, const Usual& usual,
                     const PageMeasures& page, bool top) {
  for (Block& block : blocks) {
    if (!is_plain(block) || block.lines.size() != 1 || !is_outermost(blocks, block, top)) continue;
    if (top ? block.box.y1 > kTopMargin * page.height : block.box.y0 < kBottomMargin * page.height) continue;
    const std::vector<Block*> row = row_of(blocks, block);
    const bool has_number =
        std::any_of(row.begin(), row.end(), [&](const Block* part) { return is_number_like(*part, page); });
    const int gap = gap_to_next(blocks, block, top, page);
    const bool ruled = has_rule(rules, block.box, top, page);
    const bool far = gap >= kHeaderGap * usual.letter_height;
    const bool small = block.lines[0].letter_height <= kFurniture * usual.letter_height;
    // Two of: a number in its row, a rule towards the text, several parts far from each other.
    const bool spread = row.size() > 1 || block.lines[0].widest_gap > 4 * page.letter_height;
    if (!far || !small || !(has_number || (ruled && top) || (spread && ruled))) continue;
    for (Block* part : row) {
      const RegionLabel text = top ? RegionLabel::header : RegionLabel::footer;
      part->label = is_number_like(*part, page) ? RegionLabel::number : text;
    }
    return;
  }
}

// ---- Footnotes

// A short rule at the left of a column, and nothing but small letters between it and the foot of the page.
void label_footnotes(std::vector<Block>& blocks, const std::vector<Rule>& rules, const Usual& usual,
                     const PageMeasures& page) {
  for (const Rule& rule : rules) {
    const Rect& at = rule.box;
    if (!rule.horizontal || at.y0 < page.height / 2 || at.width() > page.width / 2) continue;
    if (at.width() < kFootnoteRule * page.letter_height) continue;
    const Rect column{at.x0, at.y1 - page.letter_height / 2, at.x1, page.height};
    std::vector<Block*> below;
    bool all_small = true, begins_here = false;
    for (Block& block : blocks) {
      if (overlap_x(block.box, column) <= 0 || block.box.y0 < column.y0) continue;
      if (block.label == RegionLabel::footer || block.label == RegionLabel::number) continue;
      all_small &= is_plain(block) && measured(block).low_height <= kFootnote * usual.low_height;
      begins_here |= block.box.y0 < at.y1 + 2 * page.letter_height &&
                     std::abs(block.box.x0 - at.x0) < 2 * page.letter_height;
      below.push_back(&block);
    }
    if (!all_small || !begins_here) continue;
    for (Block* block : below) block->label = RegionLabel::footnote;
  }
}

// ---- Headings

bool is_heading(const std::vector<Block>& blocks, const Block& block, const Usual& usual,
                const PageMeasures& page) {
  if (block.lines.size() > 3 || block.braces > 0) return false;
  const Usual own = measured(block);
  if (own.letters < 3 || own.letters > 200) return false;
  const bool large = own.letter_height >= kHeading * usual.letter_height &&
                     own.low_height >= kHeading * usual.low_height && own.stroke >= kHeavier * usual.stroke;
  // In the letters of the text it must be bold from end to end.
  const bool bold = std::all_of(block.lines.begin(), block.lines.end(), [&](const TextLine& line) {
    return line.stroke >= kBold * usual.stroke && line.letters >= 3 && line.even_pitch < kTypewriter;
  });
  // Formulas have letters of many heights.
  const bool even = std::all_of(block.lines.begin(), block.lines.end(), [&](const TextLine& line) {
    return line.tallest <= kTallInHeading * std::max<double>(line.letter_height, own.letter_height);
  });
  const bool apart = gap_to_next(blocks, block, false, page) > kHeadingGap * usual.letter_height;
  return even && apart && (large || (bold && own.low_height >= 0.9 * usual.low_height));
}

void label_headings(std::vector<Block>& blocks, const Usual& usual, const PageMeasures& page) {
  if (usual.lines < 5) return;  // on a page of a few lines nothing is usual
  std::vector<Block*> headings;
  for (Block& block : blocks)
    if (is_plain(block) && is_heading(blocks, block, usual, page)) headings.push_back(&block);
  Block* largest = nullptr;
  double largest_size = 0;
  for (Block* heading : headings) {
    const double size = measured(*heading).letter_height;
    if (size > largest_size) largest = heading, largest_size = size;
    heading->label = RegionLabel::paragraph_title;
  }
  if (largest == nullptr || largest_size < kDocTitle * usual.letter_height) return;
  const bool first = std::none_of(blocks.begin(), blocks.end(), [&](const Block& block) {
    const bool title =
        block.label == RegionLabel::paragraph_title && measured(block).letter_height > 0.9 * largest_size;
    return &block != largest && block.box.y1 <= largest->box.y0 &&
           (title || (is_plain(block) && block.lines.size() > 2));
  });
  if (first && largest->box.y1 < kTitleArea * page.height) largest->label = RegionLabel::doc_title;
}

// ---- Captions

void label_captions(std::vector<Block>& blocks, const PageMeasures& page) {
  for (const Block& figure : blocks) {
    if (figure.label != RegionLabel::image && figure.label != RegionLabel::chart) continue;
    Block* nearest = nullptr;
    int nearest_gap = static_cast<int>(kCaptionGap * page.letter_height);
    for (Block& block : blocks) {
      if (!is_plain(block) || block.lines.size() > 5) continue;
      const int gap = block.box.y0 - figure.box.y1;
      const bool under =
          10 * overlap_x(block.box, figure.box) > 6 * std::min(block.box.width(), figure.box.width());
      const int off_centre = std::abs(block.box.x0 + block.box.x1 - figure.box.x0 - figure.box.x1);
      const bool centred = off_centre < 4 * page.letter_height || block.box.width() > figure.box.width();
      if (gap > -page.letter_height && gap < nearest_gap && under && centred)
        nearest = &block, nearest_gap = gap;
    }
    if (nearest != nullptr) nearest->label = RegionLabel::figure_title;
  }
}

// ---- Displayed formulas

// The widest block of text whose column a block stands in, near above or below it.
const Block* column_around(const std::vector<Block>& blocks, const Block& block, const PageMeasures& page) {
  const Block* widest = nullptr;
  for (const Block& other : blocks) {
    if (&other == &block || !is_plain(other)) continue;
    const int gap = -overlap_y(other.box, block.box);
    const bool around = other.box.x0 <= block.box.x0 + page.letter_height &&
                        other.box.x1 >= block.box.x1 - page.letter_height;
    if (gap < 0 || gap > 4 * page.letter_height || !around) continue;
    if (widest == nullptr || other.box.width() > widest->box.width()) widest = &other;
  }
  return widest;
}

// Several words far apart, such as answers to choose from: a formula has one wide gap at most, before its number.
bool is_spread(const TextLine& line, const PageMeasures& page) {
  constexpr double kGap = 1.2;  // heights of letters
  int gaps = 0;
  for (std::size_t i = 1; i < line.words.size(); ++i)
    gaps += line.words[i].x0 - line.words[i - 1].x1 > kGap * page.letter_height;
  return gaps >= 3;
}

bool is_typewritten(const TextLine& line) { return line.letters >= 6 && line.even_pitch >= kTypewriter; }

bool is_formula(const std::vector<Block>& blocks, const Block& block, const Usual& usual,
                const PageMeasures& page) {
  if (block.box.height() > 12 * page.letter_height) return false;
  int tallest = 0, stacked = 0, long_words = 0, letters = 0, most_in_line = 0;
  for (std::size_t i = 0; i < block.lines.size(); ++i) {
    const TextLine& line = block.lines[i];
    tallest = std::max(tallest, line.tallest);
    letters += line.letters;
    most_in_line = std::max(most_in_line, line.letters);
    if (is_spread(line, page) || is_typewritten(line)) return false;
    for (const Rect& word : line.words) long_words += word.width() > 12 * page.letter_height;
    if (i == 0 || line.letters < 2 || block.lines[i - 1].letters < 2) continue;
    const Rect& before = block.lines[i - 1].box;
    stacked += 3 * overlap_y(line.box, before) > std::min(line.box.height(), before.height());
  }
  const bool tall = tallest >= kTallSign * usual.letter_height || block.braces > 0;
  if (letters < 3 || letters > kMostInFormula || most_in_line > kMostInLine || long_words > 0 ||
      !(tall || stacked >= 2))
    return false;
  const Block* column = column_around(blocks, block, page);
  if (column == nullptr) return false;
  const double left = block.box.x0 - column->box.x0, right = column->box.x1 - block.box.x1;
  const double indent = kFormulaIndent * page.letter_height;
  return left >= indent && (right >= indent || left >= 2 * indent);
}

}  // namespace

void label_text(std::vector<Block>& blocks, const std::vector<Rule>& rules, const PageMeasures& page,
                const SplitOptions& options) {
  const Usual usual = usual_text(blocks);
  if (usual.letter_height <= 0) return;
  if (options.page_furniture && usual.lines >= 5) {
    label_furniture(blocks, rules, usual, page, true);
    label_furniture(blocks, rules, usual, page, false);
    label_footnotes(blocks, rules, usual, page);
  }
  std::vector<char> formulas(blocks.size(), 0);
  for (std::size_t i = 0; i < blocks.size(); ++i)
    formulas[i] = is_plain(blocks[i]) && is_formula(blocks, blocks[i], usual, page);
  for (std::size_t i = 0; i < blocks.size(); ++i)
    if (formulas[i]) blocks[i].label = RegionLabel::display_formula;
  label_headings(blocks, usual, page);
  label_captions(blocks, page);
}

}  // namespace glmocr::layout
