// SPDX-License-Identifier: Apache-2.0
#include "regions/objects.h"

#include <cmath>

#include "regions/row_index.h"

namespace glmocr::layout {
namespace {

constexpr std::size_t kMostRules = 4000;           // more are a hatched drawing
constexpr std::size_t kMostAcross = 400;           // horizontal rules that tables are looked for between
constexpr std::int64_t kMostLabelPairs = 4000000;  // of a figure and what may be its label

// In heights of letters:
constexpr double kLeastTable = 3;
constexpr double kLeastFigure = 6;
constexpr double kFigureGap = 1.3;  // between the parts of one figure
constexpr double kColumnGap = 1.1;
constexpr double kBraceWidth = 1.6, kBraceHeight = 16;

constexpr double kCellsWithText = 0.3;
constexpr double kPhotographInk = 0.3;  // share of the box

struct Cluster {
  Rect box;
  std::vector<int> rules;
  int across = 0, down = 0;  // different heights of horizontal rules, places of vertical ones
  std::vector<int> ys, xs;
};

// Places that differ by more than `least`.
std::vector<int> distinct(std::vector<int> places, int least) {
  std::sort(places.begin(), places.end());
  std::vector<int> found;
  for (const int place : places)
    if (found.empty() || place - found.back() > least) found.push_back(place);
  return found;
}

// Rules that touch.
std::vector<Cluster> clusters_of(const std::vector<Rule>& rules, const PageMeasures& page) {
  const int near = std::max(2, page.letter_height / 4);
  Sets sets(rules.size());
  RowIndex index(page.height, 4 * page.letter_height);
  for (std::size_t i = 0; i < rules.size(); ++i) {
    const Rect box = grown(rules[i].box, near);
    for (int y = box.y0; y < box.y1 + index.band(); y += index.band()) {
      for (const int j : index.at(std::max(0, y)))
        if (meet(rules[j].box, box)) sets.unite(j, static_cast<int>(i));
    }
    index.add(static_cast<int>(i), rules[i].box.y0, rules[i].box.y1);
  }
  std::vector<Cluster> clusters(rules.size());
  for (std::size_t i = 0; i < rules.size(); ++i) {
    Cluster& cluster = clusters[sets.root(static_cast<int>(i))];
    cluster.box = cluster.rules.empty() ? rules[i].box : united(cluster.box, rules[i].box);
    cluster.rules.push_back(static_cast<int>(i));
    const Rect& box = rules[i].box;
    (rules[i].horizontal ? cluster.ys : cluster.xs)
        .push_back(rules[i].horizontal ? (box.y0 + box.y1) / 2 : (box.x0 + box.x1) / 2);
  }
  std::erase_if(clusters, [](const Cluster& cluster) { return cluster.rules.empty(); });
  for (Cluster& cluster : clusters) {
    cluster.ys = distinct(std::move(cluster.ys), page.letter_height / 2);
    cluster.xs = distinct(std::move(cluster.xs), page.letter_height / 2);
    cluster.across = static_cast<int>(cluster.ys.size());
    cluster.down = static_cast<int>(cluster.xs.size());
  }
  return clusters;
}

std::size_t cell_of(const std::vector<int>& edges, int at) {
  return static_cast<std::size_t>(std::upper_bound(edges.begin(), edges.end(), at) - edges.begin());
}

// The share of the cells of a grid in which there is a word.
double cells_with_text(const Cluster& cluster, const std::vector<TextLine>& lines) {
  const std::size_t columns = cluster.xs.size() + 1, rows = cluster.ys.size() + 1;
  std::vector<char> taken(columns * rows, 0);
  for (const TextLine& line : lines) {
    if (!meet(line.box, cluster.box)) continue;
    for (const Rect& word : line.words) {
      const int x = (word.x0 + word.x1) / 2, y = (word.y0 + word.y1) / 2;
      if (x >= cluster.box.x0 && x < cluster.box.x1 && y >= cluster.box.y0 && y < cluster.box.y1)
        taken[cell_of(cluster.ys, y) * columns + cell_of(cluster.xs, x)] = 1;
    }
  }
  const double cells =
      double(std::max<std::size_t>(1, rows - 2)) * double(std::max<std::size_t>(1, columns - 2));
  return double(std::count(taken.begin(), taken.end(), 1)) / cells;
}

// At how many places rules run over most of the width, or the height, of a cluster.
int spanning(const Cluster& cluster, const std::vector<Rule>& rules, bool horizontal, int least_apart) {
  int count = 0;
  const Rect& box = cluster.box;
  for (const int place : horizontal ? cluster.ys : cluster.xs) {
    std::vector<char> covered(horizontal ? box.width() : box.height(), 0);
    for (const int i : cluster.rules) {
      const Rect& rule = rules[i].box;
      if (rules[i].horizontal != horizontal) continue;
      const int at = horizontal ? (rule.y0 + rule.y1) / 2 : (rule.x0 + rule.x1) / 2;
      if (std::abs(at - place) > least_apart) continue;
      const int from = horizontal ? rule.x0 - box.x0 : rule.y0 - box.y0;
      std::fill_n(covered.begin() + from, horizontal ? rule.width() : rule.height(), 1);
    }
    count += 3 * std::count(covered.begin(), covered.end(), 1) >= 2 * std::ssize(covered);
  }
  return count;
}

// Frames that touch by chance are none: here rules run through.
bool is_grid(const Cluster& cluster, const std::vector<Rule>& rules, const std::vector<TextLine>& lines,
             const PageMeasures& page) {
  if (cluster.across < 2 || cluster.down < 2 || cluster.across + cluster.down < 5) return false;
  const int across = spanning(cluster, rules, true, page.letter_height / 2);
  const int down = spanning(cluster, rules, false, page.letter_height / 2);
  if (across < 2 || down < 1 || (down == 1 && across < 3)) return false;
  if (cluster.box.width() < kLeastTable * page.letter_height || cluster.box.height() < 2 * page.letter_height)
    return false;
  return cells_with_text(cluster, lines) >= kCellsWithText;
}

bool inside(const Rect& inner, const Rect& outer) {
  return 10 * common(inner, outer).area() >= 6 * inner.area();
}

// Moves the lines inside a box to a block.
void take_lines(std::vector<TextLine>& lines, Block& block, int margin) {
  const Rect box = grown(block.box, margin);
  std::vector<TextLine> rest;
  for (TextLine& line : lines) {
    if (inside(line.box, box)) {
      block.box = united(block.box, line.box);
      block.lines.push_back(std::move(line));
    } else {
      rest.push_back(std::move(line));
    }
  }
  lines = std::move(rest);
}

// How many rows between two heights hold more than one piece of text with a wide gap between, and how many hold any.
struct RowCount {
  int rows = 0, with_columns = 0;
};
RowCount count_rows(const Rect& box, const std::vector<TextLine>& lines, const PageMeasures& page) {
  RowCount count;
  std::vector<const TextLine*> in;
  for (const TextLine& line : lines)
    if (inside(line.box, box)) in.push_back(&line);
  for (std::size_t i = 0; i < in.size();) {
    std::size_t end = i + 1;
    while (end < in.size() && in[end]->baseline - in[i]->baseline <= page.letter_height / 2) ++end;
    ++count.rows;
    const bool wide = in[i]->widest_gap >= kColumnGap * page.letter_height;
    count.with_columns += end - i > 1 || wide;
    i = end;
  }
  return count;
}

// Runs of horizontal rules of one length above each other, with columns between them.
std::vector<Block> tables_between_rules(std::vector<TextLine>& lines, const std::vector<Rule>& rules,
                                        std::vector<char>& used, const PageMeasures& page) {
  std::vector<int> across;
  for (std::size_t i = 0; i < rules.size(); ++i)
    if (rules[i].horizontal && !used[i] && rules[i].box.width() >= 6 * page.letter_height)
      across.push_back(static_cast<int>(i));
  std::sort(across.begin(), across.end(), [&](int a, int b) { return rules[a].box.y0 < rules[b].box.y0; });
  std::vector<Block> tables;
  if (across.size() > kMostAcross) return tables;
  for (std::size_t i = 0; i < across.size(); ++i) {
    if (used[across[i]]) continue;
    const Rect& top = rules[across[i]].box;
    std::vector<int> run{across[i]};
    Rect box = top;
    for (std::size_t j = i + 1; j < across.size(); ++j) {
      const Rect& next = rules[across[j]].box;
      if (used[across[j]] || std::abs(next.x0 - top.x0) > page.letter_height ||
          std::abs(next.x1 - top.x1) > page.letter_height)
        continue;
      const Rect between{top.x0, box.y1, top.x1, next.y1};
      if (between.height() > page.height / 2) break;
      const RowCount count = count_rows(between, lines, page);
      if (count.rows > 0 && 2 * count.with_columns < count.rows) break;
      if (count.rows == 0 && between.height() > 4 * page.letter_height) break;
      run.push_back(across[j]);
      box = united(box, next);
    }
    const RowCount count = count_rows(box, lines, page);
    if (run.size() < 2 || count.rows < 2 || count.with_columns < 2) continue;
    for (const int rule : run) used[rule] = 1;
    Block table;
    table.label = RegionLabel::table;
    table.box = box;
    take_lines(lines, table, 1);
    tables.push_back(std::move(table));
  }
  return tables;
}

// What a figure is made of.
struct Part {
  Rect box;
  std::int64_t ink = 0;
  bool axes = false;
};

std::vector<Part> merged_parts(std::vector<Part> parts, const PageMeasures& page) {
  const int near = std::max(2, static_cast<int>(kFigureGap * page.letter_height / 2));
  constexpr int kMostRounds = 8;
  for (int round = 0; round < kMostRounds; ++round) {
    Sets sets(parts.size());
    RowIndex index(page.height, 4 * page.letter_height);
    bool changed = false;
    for (std::size_t i = 0; i < parts.size(); ++i) {
      const Rect box = grown(parts[i].box, near);
      for (int y = box.y0; y < box.y1 + index.band(); y += index.band()) {
        for (const int j : index.at(std::max(0, y))) {
          if (!meet(grown(parts[j].box, near), box) || sets.root(j) == sets.root(static_cast<int>(i)))
            continue;
          sets.unite(j, static_cast<int>(i));
          changed = true;
        }
      }
      index.add(static_cast<int>(i), parts[i].box.y0, parts[i].box.y1);
    }
    if (!changed) break;
    parts = united_items(sets, std::move(parts), [](Part& into, const Part& part) {
      into.box = united(into.box, part.box);
      into.ink += part.ink;
      into.axes |= part.axes;
    });
  }
  return parts;
}

bool may_be_brace(const Mark& mark, const PageMeasures& page) {
  return mark.box.width() <= kBraceWidth * page.letter_height &&
         mark.box.height() <= kBraceHeight * page.letter_height;
}

std::int64_t area_of_text(const Rect& box, const std::vector<TextLine>& lines) {
  std::int64_t area = 0;
  for (const TextLine& line : lines)
    for (const Rect& word : line.words) area += common(word, box).area();
  return area;
}

bool holds_drawings(const Rect& box, const std::vector<Mark>& drawings) {
  std::int64_t area = 0;
  for (const Mark& mark : drawings) area += common(mark.box, box).area();
  return 4 * area > box.area();
}

bool is_figure(const Block& block) {
  return block.label == RegionLabel::image || block.label == RegionLabel::chart;
}

// Dashes and ticks may make lines of their own.
int rows_of_text(const Block& block) {
  return static_cast<int>(std::count_if(block.lines.begin(), block.lines.end(),
                                        [](const TextLine& line) { return line.letters >= 3; }));
}

}  // namespace

std::vector<Block> take_tables(std::vector<TextLine>& lines, const std::vector<Mark>& drawings,
                               const std::vector<Rule>& rules, std::vector<char>& used,
                               const PageMeasures& page) {
  std::vector<Block> tables;
  used.assign(rules.size(), 0);
  if (rules.size() > kMostRules) return tables;
  std::vector<char> framed(rules.size(), 0);
  for (const Cluster& cluster : clusters_of(rules, page)) {
    if (cluster.down >= 2)
      for (const int rule : cluster.rules) framed[rule] = 1;
    if (!is_grid(cluster, rules, lines, page) || holds_drawings(cluster.box, drawings)) continue;
    Block table;
    table.label = RegionLabel::table;
    table.box = cluster.box;
    take_lines(lines, table, page.letter_height / 4);
    for (const int rule : cluster.rules) used[rule] = 1;
    tables.push_back(std::move(table));
  }
  for (std::size_t i = 0; i < rules.size(); ++i) framed[i] |= used[i];
  for (Block& table : tables_between_rules(lines, rules, framed, page)) tables.push_back(std::move(table));
  for (std::size_t i = 0; i < rules.size(); ++i) {
    used[i] |= std::any_of(tables.begin(), tables.end(), [&](const Block& table) {
      return inside(grown(rules[i].box, 1), grown(table.box, 2));
    });
  }
  return tables;
}

std::vector<Block> find_figures(std::vector<Mark>& drawings, const std::vector<Rule>& rules,
                                const std::vector<char>& used, const std::vector<TextLine>& lines,
                                const PageMeasures& page) {
  std::vector<Part> parts;
  for (const Mark& mark : drawings)
    if (!may_be_brace(mark, page)) parts.push_back({mark.box, mark.ink, false});
  if (rules.size() <= kMostRules) {
    for (const Cluster& cluster : clusters_of(rules, page)) {
      if (used[cluster.rules[0]] || cluster.across == 0 || cluster.down == 0) continue;
      const Rect& box = cluster.box;
      if (std::min(box.width(), box.height()) < kLeastFigure * page.letter_height) continue;
      // A frame around text is no figure.
      if (20 * area_of_text(box, lines) > 3 * box.area()) continue;
      parts.push_back({box, 0, true});
    }
  }
  std::vector<Block> figures;
  for (const Part& part : merged_parts(std::move(parts), page)) {
    Block figure;
    figure.box = part.box;
    const bool dense = double(part.ink) > kPhotographInk * double(part.box.area());
    figure.label = part.axes && !dense ? RegionLabel::chart : RegionLabel::image;
    figures.push_back(std::move(figure));
  }
  std::erase_if(drawings, [&](const Mark& mark) {
    return std::any_of(figures.begin(), figures.end(), [&](const Block& figure) {
      return meet(mark.box, grown(figure.box, page.letter_height));
    });
  });
  return figures;
}

void take_labels(std::vector<Block>& blocks, const PageMeasures& page) {
  const int near = static_cast<int>(1.5 * page.letter_height);
  constexpr int kRounds = 3;
  if (std::count_if(blocks.begin(), blocks.end(), is_figure) * std::ssize(blocks) > kMostLabelPairs) return;
  std::vector<char> taken(blocks.size(), 0);
  for (std::size_t f = 0; f < blocks.size(); ++f) {
    Block& figure = blocks[f];
    if (!is_figure(figure)) continue;
    const Rect core = figure.box;
    for (int round = 0; round < kRounds; ++round) {
      const Rect reach = grown(figure.box, near);
      for (std::size_t i = 0; i < blocks.size(); ++i) {
        const Block& block = blocks[i];
        if (taken[i] || block.label != RegionLabel::text || !meet(block.box, reach)) continue;
        // Wide text inside may be written over a picture, or a watermark lies below it.
        const bool within = inside(block.box, figure.box) && 2 * block.box.width() < core.width();
        const bool paragraph = block.lines.size() >= 3 && block.box.width() > 12 * page.letter_height;
        const bool label = figure.label == RegionLabel::chart && rows_of_text(block) <= 2 &&
                           2 * block.box.width() < core.width() && block.box.height() < core.height();
        const bool column = figure.label == RegionLabel::chart &&
                            block.box.width() < 5 * page.letter_height && block.box.height() < core.height();
        if (!(within && !paragraph) && !label && !column) continue;
        figure.box = united(figure.box, block.box);
        taken[i] = 1;
      }
    }
  }
  std::size_t kept = 0;
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    if (taken[i]) continue;
    if (kept != i) blocks[kept] = std::move(blocks[i]);
    ++kept;
  }
  blocks.resize(kept);
}

}  // namespace glmocr::layout
