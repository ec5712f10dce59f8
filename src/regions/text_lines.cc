// SPDX-License-Identifier: Apache-2.0
// Letters are chained to their nearest neighbour on the right, which follows lines that are not quite level. Gaps as wide as
// a space between words are bridged everywhere, wider ones only where no white corridor runs down through them.
#include "regions/text_lines.h"

#include <cstddef>

#include "base/numbers.h"
#include "regions/row_index.h"

namespace glmocr::layout {
namespace {

// In heights of letters:
constexpr double kWordGap = 0.75;       // bridged everywhere
constexpr double kWideGap = 2.2;        // bridged where there is no corridor
constexpr double kSmallMark = 0.52;     // lower marks are dots and accents, which join no lines
constexpr double kCorridorWidth = 1.0;  // at least
constexpr double kCorridorHeight = 6;
constexpr double kCorridorBreak = 4;   // where no text is on one side, it ends
constexpr double kCorridorText = 3.4;  // height of the text that it separates, at least
constexpr double kCorridorReach = 14;  // how far that may be away on each side
constexpr int kCellsPerLetter = 3;
constexpr int kMostNeighbours = 64;  // looked at on each side

struct Piece {
  Rect box;
  std::vector<int> marks;
};

bool is_small(const Rect& box, int height) { return box.height() < kSmallMark * height; }

// How much of the lower of two neighbours in a line the other one reaches over, at least: commas and quotes stand at its edges.
double shared_height(const Rect& a, const Rect& b, int height) {
  constexpr double kOfLetters = 0.5, kOfSigns = 0.2;
  return is_small(a, height) || is_small(b, height) ? kOfSigns : kOfLetters;
}

bool on_one_line(const Rect& a, const Rect& b, double share) {
  return overlap_y(a, b) >= share * std::min(a.height(), b.height());
}

// Dots and signs may stand beside letters of any height.
bool is_other_size(const Rect& a, const Rect& b, int height) {
  const int larger = std::max(a.height(), b.height()), smaller = std::min(a.height(), b.height());
  return larger > 3 * smaller && smaller >= kSmallMark * height;
}

// The marks in the order of their left ends.
std::vector<int> from_left(const std::vector<Rect>& boxes) {
  std::vector<int> order(boxes.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = static_cast<int>(i);
  std::sort(order.begin(), order.end(), [&](int a, int b) {
    const Rect &p = boxes[a], &q = boxes[b];
    return p.x0 != q.x0 ? p.x0 < q.x0 : (p.y0 != q.y0 ? p.y0 < q.y0 : a < b);
  });
  return order;
}

// Unites each box with its nearest neighbour on the right that `fits`. Boxes are met from the left; so the neighbour is looked
// for among those that came before, from the right box's point of view.
template <class Fits>
void chain(const std::vector<Rect>& boxes, int page_height, int height, Sets& sets, Fits fits) {
  RowIndex index(page_height, std::max(4, height));
  for (const int i : from_left(boxes)) {
    const Rect& box = boxes[i];
    int best = -1;
    const int middle = (box.y0 + box.y1) / 2;
    for (const int y : {middle, box.y0, box.y1 - 1}) {
      const std::vector<int>& before = index.at(y);
      int looked = 0;
      for (auto it = before.rbegin(); it != before.rend() && looked < kMostNeighbours; ++it, ++looked) {
        if (!fits(boxes[*it], box)) continue;
        if (best < 0 || boxes[*it].x1 > boxes[best].x1) best = *it;
      }
    }
    if (best >= 0) sets.unite(best, i);
    index.add(i, box.y0, box.y1);
  }
}

std::vector<Piece> pieces_of(const std::vector<Rect>& boxes, const std::vector<int>& ids, Sets& sets) {
  std::vector<int> piece_of(boxes.size(), -1);
  std::vector<Piece> pieces;
  for (std::size_t i = 0; i < boxes.size(); ++i) {
    const int root = sets.root(static_cast<int>(i));
    if (piece_of[root] < 0) {
      piece_of[root] = static_cast<int>(pieces.size());
      pieces.push_back({boxes[i], {}});
    }
    Piece& piece = pieces[piece_of[root]];
    piece.box = united(piece.box, boxes[i]);
    piece.marks.push_back(ids[i]);
  }
  return pieces;
}

// Letters and words whose letters stand close together; dots and accents not yet.
std::vector<Piece> close_pieces(const std::vector<Mark>& marks, const std::vector<int>& ids, int height,
                                int page_height, double gap) {
  std::vector<Rect> boxes;
  for (const int id : ids) boxes.push_back(marks[id].box);
  Sets sets(boxes.size());
  chain(boxes, page_height, height, sets, [&](const Rect& a, const Rect& b) {
    if (is_other_size(a, b, height)) return false;
    // The lower one counts: a bracket or a frame is no larger letter.
    const double size = std::max(0.8 * height, double(std::min(a.height(), b.height())));
    return b.x0 - a.x1 <= gap * size && on_one_line(a, b, 0.4);
  });
  return pieces_of(boxes, ids, sets);
}

// Where no ink is over the height of several lines and the width of a wide space.
class Corridors {
 public:
  Corridors(const std::vector<Piece>& pieces, const std::vector<Rule>& rules, int height, int width,
            int page_height)
      : cell_(std::max(1, height / kCellsPerLetter)),
        columns_(divide_up(width, cell_) + 1),
        rows_(divide_up(page_height, cell_) + 1),
        cells_(std::int64_t{columns_} * rows_, kWhite) {
    for (const Piece& piece : pieces) fill(piece.box, kInk);
    mark_corridors(static_cast<int>(kCorridorWidth * height / cell_), height);
    for (const Rule& rule : rules)
      if (!rule.horizontal) fill(grown(rule.box, 1), kCorridor);
  }

  // Whether one runs between x0 and x1 in this row.
  bool between(int x0, int x1, int y) const {
    const std::uint8_t* row = &cells_[std::int64_t{std::clamp(y / cell_, 0, rows_ - 1)} * columns_];
    const int first = std::clamp(x0 / cell_, 0, columns_ - 1), last = std::clamp(x1 / cell_, 0, columns_ - 1);
    return std::find(row + first, row + last + 1, kCorridor) != row + last + 1;
  }

 private:
  // Rows of cells, the first and the last of which separate text, and how many of them do.
  struct Stretch {
    int first, last, rows;
  };
  static constexpr std::uint8_t kWhite = 0, kInk = 1, kCorridor = 2;

  void fill(const Rect& box, std::uint8_t value) {
    const int x0 = std::clamp(box.x0 / cell_, 0, columns_ - 1),
              x1 = std::clamp((box.x1 - 1) / cell_, 0, columns_ - 1);
    const int y0 = std::clamp(box.y0 / cell_, 0, rows_ - 1),
              y1 = std::clamp((box.y1 - 1) / cell_, 0, rows_ - 1);
    for (int y = y0; y <= y1; ++y) {
      std::uint8_t* row = &cells_[std::int64_t{y} * columns_];
      std::fill(row + x0, row + x1 + 1, value);
    }
  }
  // The cells of a row that have ink on both sides, not too far away.
  void find_separating(int y, int reach, std::vector<char>& separating) const {
    separating.assign(columns_, 0);
    const std::uint8_t* row = &cells_[std::int64_t{y} * columns_];
    for (int x = 0, last = -reach - 1; x < columns_; ++x) {
      if (row[x] == kInk) last = x;
      separating[x] = x - last <= reach;
    }
    for (int x = columns_ - 1, last = columns_ + reach; x >= 0; --x) {
      if (row[x] == kInk) last = x;
      separating[x] = separating[x] && last - x <= reach;
    }
  }
  // A box covers the cells it touches, so a gap of n cells may be n - 1 white ones.
  void mark_corridors(int wide, int height) {
    const int white = std::max(1, wide - 1);
    const auto cells = [&](double letters) { return static_cast<int>(letters * height / cell_); };
    const int high = cells(kCorridorHeight), text = cells(kCorridorText), reach = cells(kCorridorReach);
    const int apart = cells(kCorridorBreak);
    std::vector<std::vector<Stretch>> stretches(columns_);  // of the gap that ends in each column
    std::vector<char> separating;
    const auto end = [&](int x) {
      const auto is_high = [&](const Stretch& part) { return part.last + 1 - part.first >= high; };
      const bool is_gutter = std::any_of(stretches[x].begin(), stretches[x].end(), [&](const Stretch& part) {
        return part.rows >= 2 * text && is_high(part);
      });
      for (const Stretch& part : stretches[x])
        if ((part.rows >= text && is_high(part)) || (is_gutter && 2 * part.rows >= text))
          fill_cells(x - white + 1, part.first, x, part.last + 1);
      stretches[x].clear();
    };
    for (int y = 0; y <= rows_; ++y) {
      int run = 0;
      if (y < rows_) find_separating(y, reach, separating);
      for (int x = 0; x < columns_; ++x) {
        run = y < rows_ && cells_[std::int64_t{y} * columns_ + x] == kWhite ? run + 1 : 0;
        if (run < white) end(x);
        if (run < white || !separating[x]) continue;
        if (stretches[x].empty() || y - stretches[x].back().last > apart) stretches[x].push_back({y, y, 0});
        stretches[x].back().last = y;
        ++stretches[x].back().rows;
      }
    }
  }
  void fill_cells(int x0, int y0, int x1, int y1) {
    for (int y = y0; y < y1; ++y)
      for (int x = x0; x <= x1; ++x) {
        std::uint8_t& cell = cells_[std::int64_t{y} * columns_ + x];
        if (cell == kWhite) cell = kCorridor;
      }
  }

  int cell_, columns_, rows_;
  std::vector<std::uint8_t> cells_;
};

template <class T>
T quantile(std::vector<T>& values, double share) {
  if (values.empty()) return 0;
  const auto at =
      values.begin() + static_cast<std::ptrdiff_t>(share * static_cast<double>(values.size() - 1));
  std::nth_element(values.begin(), at, values.end());
  return *at;
}

// The share of distances between neighbours that are nearly the middle one.
double even_share(std::vector<int> middles) {
  constexpr int kFewest = 6;
  if (std::ssize(middles) < kFewest) return 0;
  std::sort(middles.begin(), middles.end());
  std::vector<int> distances;
  for (std::size_t i = 1; i < middles.size(); ++i) distances.push_back(middles[i] - middles[i - 1]);
  const int usual = quantile(distances, 0.5);
  const auto near = std::count_if(distances.begin(), distances.end(),
                                  [&](int distance) { return 7 * std::abs(distance - usual) <= usual; });
  return double(near) / double(distances.size());
}

TextLine measured(const Piece& piece, const std::vector<Mark>& marks) {
  TextLine line;
  line.box = piece.box;
  for (const int id : piece.marks) line.tallest = std::max(line.tallest, marks[id].box.height());
  std::vector<int> heights, bottoms, middles;  // the latter doubled
  std::vector<double> strokes;
  for (const int id : piece.marks) {
    const Mark& mark = marks[id];
    if (3 * mark.box.height() < line.tallest) continue;
    heights.push_back(mark.box.height());
    bottoms.push_back(mark.box.y1);
    middles.push_back(mark.box.x0 + mark.box.x1);
    strokes.push_back(double(mark.ink) / std::max(1, mark.runs));
    ++line.letters;
    line.letters_width += mark.box.width();
  }
  line.letter_height = quantile(heights, 0.88);
  line.low_height = quantile(heights, 0.4);
  line.baseline = quantile(bottoms, 0.5);
  line.even_pitch = even_share(std::move(middles));
  line.stroke = quantile(strokes, 0.4);
  return line;
}

// Gives every small mark to the piece it belongs to: the nearest whose box, a little larger, holds its middle. What
// belongs to none makes pieces of its own, such as dots of a leader.
void give_small_marks(const std::vector<Mark>& marks, const std::vector<int>& small,
                      std::vector<Piece>& pieces, int height, int page_height) {
  const int reach = std::max(2, height / 2);
  RowIndex index(page_height, height);
  for (std::size_t i = 0; i < pieces.size(); ++i)
    index.add(static_cast<int>(i), std::max(0, pieces[i].box.y0 - reach), pieces[i].box.y1 + reach);
  std::vector<int> homeless;
  std::vector<std::pair<int, int>> given;
  for (const int id : small) {
    const Rect& box = marks[id].box;
    const int x = (box.x0 + box.x1) / 2, y = (box.y0 + box.y1) / 2;
    int best = -1, nearest = 0;
    for (const int i : index.at(y)) {
      const Rect& piece = pieces[i].box;
      const int dx = std::max({0, piece.x0 - x, x - piece.x1}),
                dy = std::max({0, piece.y0 - y, y - piece.y1});
      if (dx > reach || dy > reach) continue;
      if (best < 0 || dx + 2 * dy < nearest) best = i, nearest = dx + 2 * dy;
    }
    if (best < 0) {
      homeless.push_back(id);
    } else {
      given.emplace_back(best, id);
    }
  }
  for (const auto& [piece, id] : given) {
    pieces[piece].box = united(pieces[piece].box, marks[id].box);
    pieces[piece].marks.push_back(id);
  }
  for (Piece& piece : close_pieces(marks, homeless, height, page_height, 1.5))
    pieces.push_back(std::move(piece));
}

// Pieces that lie in others: accents, the inner parts of letters.
std::vector<Piece> merged_overlaps(std::vector<Piece> pieces, int height, int page_height) {
  Sets sets(pieces.size());
  RowIndex index(page_height, height);
  for (std::size_t i = 0; i < pieces.size(); ++i)
    index.add(static_cast<int>(i), pieces[i].box.y0, pieces[i].box.y1);
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    const Rect& box = pieces[i].box;
    for (const int other : index.at((box.y0 + box.y1) / 2)) {
      const Rect& outer = pieces[other].box;
      if (other == static_cast<int>(i) || outer.height() > 4 * height) continue;
      if (10 * common(box, outer).area() >= 7 * box.area() && outer.area() >= box.area())
        sets.unite(other, static_cast<int>(i));
    }
  }
  return united_items(sets, std::move(pieces), [](Piece& into, const Piece& piece) {
    into.box = united(into.box, piece.box);
    into.marks.insert(into.marks.end(), piece.marks.begin(), piece.marks.end());
  });
}

// The line of these pieces, from the left.
TextLine line_of(const std::vector<Piece>& pieces, const std::vector<int>& parts,
                 const std::vector<Mark>& marks) {
  Piece whole{pieces[parts[0]].box, {}};
  std::vector<Rect> words;
  int widest_gap = 0;
  for (const int part : parts) {
    const Piece& piece = pieces[part];
    if (!words.empty()) widest_gap = std::max(widest_gap, piece.box.x0 - whole.box.x1);
    whole.box = united(whole.box, piece.box);
    whole.marks.insert(whole.marks.end(), piece.marks.begin(), piece.marks.end());
    words.push_back(piece.box);
  }
  TextLine line = measured(whole, marks);
  line.words = std::move(words);
  line.widest_gap = widest_gap;
  return line;
}

// Gives a line the small parts that stand inside it: signs between wide spaces, accents.
std::vector<TextLine> merged_lines(std::vector<TextLine> lines, int height, int page_height) {
  const int slack = std::max(1, height / 5);
  RowIndex index(page_height, height);
  for (std::size_t i = 0; i < lines.size(); ++i)
    index.add(static_cast<int>(i), lines[i].box.y0, lines[i].box.y1);
  std::vector<char> merged(lines.size(), 0);
  for (std::size_t i = 0; i < lines.size(); ++i) {
    const TextLine& part = lines[i];
    if (part.letters > 3) continue;
    for (const int other : index.at((part.box.y0 + part.box.y1) / 2)) {
      TextLine& line = lines[other];
      const bool within = part.box.x0 >= line.box.x0 && part.box.x1 <= line.box.x1 &&
                          part.box.y0 >= line.box.y0 - slack && part.box.y1 <= line.box.y1 + slack;
      if (other == static_cast<int>(i) || merged[other] || line.letters <= part.letters || !within) continue;
      line.box = united(line.box, part.box);
      merged[i] = 1;
      break;
    }
  }
  std::vector<TextLine> result;
  for (std::size_t i = 0; i < lines.size(); ++i)
    if (!merged[i]) result.push_back(std::move(lines[i]));
  return result;
}

}  // namespace

std::vector<TextLine> find_lines(const std::vector<Mark>& marks, const std::vector<Rule>& rules, int height,
                                 int width, int page_height) {
  std::vector<int> letters, small;
  for (std::size_t i = 0; i < marks.size(); ++i)
    (is_small(marks[i].box, height) ? small : letters).push_back(static_cast<int>(i));
  std::vector<Piece> pieces = close_pieces(marks, letters, height, page_height, kWordGap);
  give_small_marks(marks, small, pieces, height, page_height);
  pieces = merged_overlaps(std::move(pieces), height, page_height);

  const Corridors corridors(pieces, rules, height, width, page_height);
  std::vector<Rect> boxes;
  for (const Piece& piece : pieces) boxes.push_back(piece.box);
  Sets sets(pieces.size());
  chain(boxes, page_height, height, sets, [&](const Rect& a, const Rect& b) {
    const int larger = std::max(a.height(), b.height());
    const double gap = std::max<double>(kWideGap * height, std::min<double>(1.3 * larger, 4.0 * height));
    if (b.x0 - a.x1 > gap || b.x0 < a.x0 + (a.x1 - a.x0) / 2) return false;
    if (!on_one_line(a, b, shared_height(a, b, height)) || is_other_size(a, b, height)) return false;
    const int y = (std::max(a.y0, b.y0) + std::min(a.y1, b.y1)) / 2;
    return b.x0 <= a.x1 || !corridors.between(a.x1, b.x0, y);
  });
  std::vector<std::vector<int>> parts(pieces.size());
  for (const int i : from_left(boxes)) parts[sets.root(i)].push_back(i);
  std::vector<TextLine> lines;
  for (const std::vector<int>& of_line : parts)
    if (!of_line.empty()) lines.push_back(line_of(pieces, of_line, marks));
  lines = merged_lines(std::move(lines), height, page_height);
  std::sort(lines.begin(), lines.end(), [](const TextLine& a, const TextLine& b) {
    return a.baseline != b.baseline ? a.baseline < b.baseline : a.box.x0 < b.box.x0;
  });
  return lines;
}

}  // namespace glmocr::layout
