// SPDX-License-Identifier: Apache-2.0
#include "regions/page_analysis.h"

#include <array>
#include <cmath>

#include "regions/marks.h"
#include "regions/objects.h"
#include "regions/reading_order.h"
#include "regions/row_index.h"

namespace glmocr::layout {
namespace {

// About A4 at 200 dpi: enough for letters of 6 pt, and no more than 8 MiB for the planes.
constexpr std::int64_t kMostPixels = std::int64_t{4} << 20;

// In heights of letters:
constexpr double kShortestRule = 3.5;
constexpr double kThickestRule = 0.35;
constexpr double kTallestLetter = 4.2;  // of marks that are letters or words whose letters touch
constexpr double kWidestWord = 30;
constexpr double kLeastPanel = 1.4;

constexpr double kPanelInk = 0.5;    // share of its box that is dark
constexpr double kPanelLevel = 0.5;  // share of its box that has one level of grey
constexpr int kSameLevel = 14, kOtherLevel = 45;
constexpr int kFewestPanelLetters = 4;
constexpr std::size_t kMostBraces = 200;
constexpr std::size_t kMostBlocks = 3000;  // of a document; more are grain, or a picture

bool is_letter(const Mark& mark, int height) {
  const double filled = double(mark.ink) / double(mark.box.area());
  const bool block = filled > 0.85 && mark.box.height() > 1.5 * height && mark.box.width() > 1.5 * height;
  return mark.box.height() <= kTallestLetter * height && mark.box.width() <= kWidestWord * height && !block;
}

// The level of grey that most of a box has, where it is a panel of one colour; -1 where it is not.
int panel_level(const Plane& grey, const Rect& box) {
  std::array<std::int64_t, 256> histogram{};
  for (int y = box.y0; y < box.y1; ++y)
    for (int x = box.x0; x < box.x1; ++x) ++histogram[grey.row(y)[x]];
  std::int64_t most = 0, sum = 0;
  int level = -1;
  for (int i = 0; i < 256 + kSameLevel; ++i) {
    if (i < 256) sum += histogram[i];
    if (i > 2 * kSameLevel) sum -= histogram[i - 2 * kSameLevel - 1];
    if (sum > most) most = sum, level = i - kSameLevel;
  }
  return double(most) >= kPanelLevel * double(box.area()) ? std::clamp(level, 0, 255) : -1;
}

// The letters on a dark panel. Its ink becomes what differs from the panel, and nothing at its edge.
std::vector<Mark> letters_on_panel(const Plane& grey, Plane& ink, const Rect& box, int height, int fewest) {
  const int level = panel_level(grey, box);
  if (level < 0) return {};
  Plane inside{box.width(), box.height(), std::vector<std::uint8_t>(box.area())};
  for (int y = 0; y < inside.height; ++y) {
    const std::uint8_t* from = grey.row(box.y0 + y) + box.x0;
    for (int x = 0; x < inside.width; ++x) inside.row(y)[x] = std::abs(from[x] - level) > kOtherLevel;
  }
  std::vector<Mark> marks = find_marks(inside, {0, 0, inside.width, inside.height}, fewest);
  std::erase_if(marks, [&](const Mark& mark) {
    const Rect& at = mark.box;
    return at.x0 == 0 || at.y0 == 0 || at.x1 == inside.width || at.y1 == inside.height;
  });
  const auto letters = std::count_if(marks.begin(), marks.end(), [&](const Mark& mark) {
    return is_letter(mark, height) && 3 * mark.box.height() > height;
  });
  if (letters < kFewestPanelLetters) return {};
  for (int y = box.y0; y < box.y1; ++y) std::fill(ink.row(y) + box.x0, ink.row(y) + box.x1, std::uint8_t{0});
  for (Mark& mark : marks)
    mark.box = {mark.box.x0 + box.x0, mark.box.y0 + box.y0, mark.box.x1 + box.x0, mark.box.y1 + box.y0};
  return marks;
}

struct Sorted {
  std::vector<Mark> letters, drawings;
};

Sorted sort_marks(const Plane& grey, Plane& ink, int height) {
  const int fewest = std::max(2, height * height / 64);
  Sorted sorted;
  std::vector<Rect> panels;
  std::vector<Mark> marks = find_marks(ink, {0, 0, ink.width, ink.height}, fewest);
  for (const Mark& mark : marks) {
    const Rect& box = mark.box;
    const bool panel = mark.ink > kPanelInk * double(box.area()) && box.height() > kLeastPanel * height &&
                       box.width() > 2 * kLeastPanel * height;
    if (!panel) continue;
    std::vector<Mark> on_panel = letters_on_panel(grey, ink, box, height, fewest);
    if (on_panel.empty()) continue;
    panels.push_back(box);
    for (const Mark& letter : on_panel)
      (is_letter(letter, height) ? sorted.letters : sorted.drawings).push_back(letter);
  }
  for (const Mark& mark : marks) {
    const bool on_panel = std::any_of(panels.begin(), panels.end(), [&](const Rect& panel) {
      return common(panel, mark.box).area() == mark.box.area();
    });
    if (on_panel) continue;
    (is_letter(mark, height) ? sorted.letters : sorted.drawings).push_back(mark);
  }
  return sorted;
}

// What a scanner or a camera saw beside the paper: dark, without text, along the edge of the picture.
bool is_surround(const Mark& mark, const PageMeasures& page) {
  const Rect& box = mark.box;
  const bool left = box.x0 <= 1, top = box.y0 <= 1, right = box.x1 >= page.width - 1,
             bottom = box.y1 >= page.height - 1;
  const bool along =
      (left || right) ? box.height() > page.height / 4 : (top || bottom) && box.width() > page.width / 4;
  const bool thin = std::min(box.width(), box.height()) < std::min(page.width, page.height) / 8;
  const bool frame = left + top + right + bottom >= 3 && mark.ink < 0.4 * double(box.area());
  return along && (thin || frame);
}

// Large brackets join the blocks that they stand beside; what stands alone is a small drawing.
void give_braces(const std::vector<Mark>& braces, std::vector<Block>& blocks, const PageMeasures& page) {
  for (std::size_t i = 0; i < braces.size(); ++i) {
    const Mark& brace = braces[i];
    const Rect reach{brace.box.x0 - page.letter_height, brace.box.y0, brace.box.x1 + page.letter_height,
                     brace.box.y1};
    Block found;
    found.box = brace.box;
    found.braces = 1;
    if (i >= kMostBraces) {  // no formula has so many
      blocks.push_back(std::move(found));
      continue;
    }
    std::vector<Block> rest;
    bool is_paragraph = false;
    for (const Block& block : blocks) is_paragraph |= meet(block.box, reach) && block.lines.size() > 8;
    for (Block& block : blocks) {
      const bool joins = !is_paragraph && block.label == RegionLabel::text && meet(block.box, reach);
      if (joins) {
        found = joined(std::move(found), std::move(block));
      } else {
        rest.push_back(std::move(block));
      }
    }
    if (found.lines.empty()) found.label = RegionLabel::text;
    rest.push_back(std::move(found));
    blocks = std::move(rest);
  }
}

std::vector<Block> in_reading_order(std::vector<Block> blocks, const PageMeasures& page) {
  std::vector<Rect> boxes;
  for (const Block& block : blocks) boxes.push_back(block.box);
  std::vector<Block> ordered;
  for (const int i : reading_order(boxes, std::max(1, page.letter_height / 4)))
    ordered.push_back(std::move(blocks[i]));
  return ordered;
}

// A picture in which nothing is like letters: one drawing, or nothing at all.
std::vector<Block> without_letters(const Plane& ink) {
  std::vector<Block> blocks;
  for (const Mark& mark : find_marks(ink, {0, 0, ink.width, ink.height}, 1)) {
    Block block;
    block.box = mark.box;
    if (blocks.empty()) {
      blocks.push_back(std::move(block));
    } else {
      blocks[0].box = united(blocks[0].box, block.box);
    }
  }
  return blocks;
}

}  // namespace

PageAnalysis analyse_page(const Image& page, const SplitOptions& options) {
  PageAnalysis analysis;
  if (page.width < 1 || page.height < 1) return analysis;
  const GreyPage reduced = grey_page(page, kMostPixels);
  analysis.factor = reduced.factor;
  PageMeasures& measures = analysis.measures;
  measures.width = reduced.grey.width;
  measures.height = reduced.grey.height;
  Plane ink = find_ink(reduced.grey, true);
  measures.letter_height = letter_height(find_marks(ink, {0, 0, ink.width, ink.height}, 3));
  if (measures.letter_height == 0) {
    analysis.blocks = without_letters(ink);
    return analysis;
  }
  const int height = measures.letter_height;
  const std::vector<Rule> rules = take_rules(ink, std::max(12, static_cast<int>(kShortestRule * height)),
                                             std::max(3, static_cast<int>(kThickestRule * height)));
  Sorted marks = sort_marks(reduced.grey, ink, height);
  ink = Plane();
  analysis.has_surround =
      std::erase_if(marks.drawings, [&](const Mark& mark) { return is_surround(mark, measures); }) > 0;
  std::vector<TextLine> lines = find_lines(marks.letters, rules, height, measures.width, measures.height);
  measures.pitch = usual_pitch(lines, height);

  std::vector<char> used;
  std::vector<Block> tables = take_tables(lines, marks.drawings, rules, used, measures);
  std::vector<Block> figures = find_figures(marks.drawings, rules, used, lines, measures);
  std::vector<Block> blocks = find_blocks(std::move(lines), rules, measures);
  for (Block& table : tables) blocks.push_back(std::move(table));
  for (Block& figure : figures) blocks.push_back(std::move(figure));
  take_labels(blocks, measures);
  join_rows(blocks, measures);
  join_overlaps(blocks, measures);
  give_braces(marks.drawings, blocks, measures);
  if (blocks.size() <= kMostBlocks) label_text(blocks, rules, measures, options);
  analysis.blocks = in_reading_order(std::move(blocks), measures);
  return analysis;
}

}  // namespace glmocr::layout
