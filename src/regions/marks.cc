// SPDX-License-Identifier: Apache-2.0
#include "regions/marks.h"

#include <array>
#include <cstring>
#include <numeric>

#include "regions/row_index.h"

namespace glmocr::layout {
namespace {

constexpr std::size_t kMostMarks = 200000;
constexpr int kRuleGap = 2;   // pixels a rule may be broken for
constexpr int kSlimness = 6;  // a rule is at least so many times longer than thick

struct Run {
  int x0, x1, label;
};

// The runs of ink of a row, in order.
void runs_of(const std::uint8_t* row, int x0, int x1, std::vector<Run>& runs) {
  runs.clear();
  while (x0 < x1) {
    const void* start = std::memchr(row + x0, 1, x1 - x0);
    if (start == nullptr) return;
    const int from = static_cast<int>(static_cast<const std::uint8_t*>(start) - row);
    const void* end = std::memchr(row + from, 0, x1 - from);
    const int to = end == nullptr ? x1 : static_cast<int>(static_cast<const std::uint8_t*>(end) - row);
    runs.push_back({from, to, -1});
    x0 = to;
  }
}

// Labels marks from row to row. The label of a mark that has ended is used again, so memory follows the width of the page
// and the marks that are kept.
class Labeller {
 public:
  Labeller(int fewest_pixels, std::vector<Mark>& found) : fewest_(fewest_pixels), found_(found) {}

  void add_row(int y, std::vector<Run>& runs) {
    merged_.clear();
    std::size_t above = 0;
    for (Run& run : runs) {
      while (above < last_.size() && last_[above].x1 < run.x0) ++above;
      for (std::size_t i = above; i < last_.size() && last_[i].x0 <= run.x1; ++i)
        join(run, root(last_[i].label));
      if (run.label < 0) run.label = take_label();
      Open& open = open_[run.label];
      const Rect box{run.x0, y, run.x1, y + 1};
      open.mark.box = open.mark.ink == 0 ? box : united(open.mark.box, box);
      open.mark.ink += run.x1 - run.x0;
      ++open.mark.runs;
      open.last_row = y;
    }
    for (const Run& run : last_) close(run.label, y);
    for (Run& run : runs) run.label = root(run.label);
    for (const int label : merged_) free_.push_back(label);
    last_.swap(runs);
  }

  void finish(int y) {
    std::vector<Run> none;
    add_row(y, none);
  }

 private:
  struct Open {
    Mark mark;
    int parent, last_row;
    bool closed;
  };

  int root(int label) {
    while (open_[label].parent != label) label = open_[label].parent = open_[open_[label].parent].parent;
    return label;
  }
  int take_label() {
    int label = static_cast<int>(open_.size());
    if (free_.empty()) {
      open_.emplace_back();
    } else {
      label = free_.back();
      free_.pop_back();
    }
    open_[label] = {{}, label, -1, false};
    return label;
  }
  void join(Run& run, int label) {
    if (run.label < 0 || run.label == label) {
      run.label = label;
      return;
    }
    Open& into = open_[run.label];
    const Open& from = open_[label];
    into.mark.box = into.mark.ink == 0 ? from.mark.box : united(into.mark.box, from.mark.box);
    into.mark.ink += from.mark.ink;
    into.mark.runs += from.mark.runs;
    into.last_row = std::max(into.last_row, from.last_row);
    open_[label].parent = run.label;
    merged_.push_back(label);
  }
  // The mark of a run of the row before, if it did not go on.
  void close(int label, int y) {
    label = root(label);
    Open& open = open_[label];
    if (open.last_row == y || open.closed) return;
    open.closed = true;
    free_.push_back(label);
    if (open.mark.ink >= fewest_) found_.push_back(open.mark);
    if (found_.size() > kMostMarks) leave_out_small();
  }
  void leave_out_small() {
    while (found_.size() > kMostMarks / 2) {
      fewest_ *= 2;
      std::erase_if(found_, [this](const Mark& mark) { return mark.ink < fewest_; });
    }
  }

  int fewest_;
  std::vector<Mark>& found_;
  std::vector<Open> open_;
  std::vector<int> free_, merged_;
  std::vector<Run> last_;
};

// A straight piece of ink: the row (or column) it is on, and its ends.
struct RulePiece {
  int line, from, to;
};

void add_piece(std::vector<RulePiece>& pieces, const RulePiece& piece, int shortest) {
  if (piece.to - piece.from >= shortest) pieces.push_back(piece);
}

std::vector<RulePiece> horizontal_pieces(const Plane& ink, int shortest) {
  // Letters stand close together too, and their serifs on one line: only longer runs are joined.
  const int least = shortest / 6;
  std::vector<RulePiece> pieces;
  std::vector<Run> runs;
  for (int y = 0; y < ink.height; ++y) {
    runs_of(ink.row(y), 0, ink.width, runs);
    if (runs.empty()) continue;
    RulePiece piece{y, runs[0].x0, runs[0].x1};
    for (const Run& run : runs) {
      const bool is_short = run.x1 - run.x0 < least || piece.to - piece.from < least;
      if (run.x0 > piece.to + (is_short ? 0 : kRuleGap)) {
        add_piece(pieces, piece, shortest);
        piece.from = run.x0;
      }
      piece.to = run.x1;
    }
    add_piece(pieces, piece, shortest);
  }
  return pieces;
}

std::vector<RulePiece> vertical_pieces(const Plane& ink, int shortest) {
  std::vector<RulePiece> pieces;
  std::vector<int> from(ink.width, 0), to(ink.width, -kRuleGap - 1);
  std::vector<Run> runs;
  for (int y = 0; y < ink.height; ++y) {
    runs_of(ink.row(y), 0, ink.width, runs);
    for (const Run& run : runs) {
      for (int x = run.x0; x < run.x1; ++x) {
        if (y > to[x] + kRuleGap) {
          add_piece(pieces, {x, from[x], to[x]}, shortest);
          from[x] = y;
        }
        to[x] = y + 1;
      }
    }
  }
  for (int x = 0; x < ink.width; ++x) add_piece(pieces, {x, from[x], to[x]}, shortest);
  std::stable_sort(pieces.begin(), pieces.end(),
                   [](const RulePiece& a, const RulePiece& b) { return a.line < b.line; });
  return pieces;
}

// Pieces of neighbouring lines that lie side by side.
struct Bundle {
  int first_line, last_line, from, to;
  std::int64_t ink;
  std::vector<RulePiece> pieces;
};

// Ends in `done` what does not reach this line. The pieces of a bundle that has become too thick are not kept.
void end_bundles(std::vector<Bundle>& open, std::vector<Bundle>& done, int line, int thickest) {
  std::size_t kept = 0;
  for (Bundle& bundle : open) {
    if (bundle.last_line + kRuleGap >= line) {
      if (&open[kept] != &bundle) open[kept] = std::move(bundle);
      ++kept;
      continue;
    }
    const int length = bundle.to - bundle.from;
    // The mean thickness; the extent across may be larger, where the page is skewed.
    if (bundle.ink <= std::int64_t{thickest} * length &&
        bundle.ink * kSlimness <= std::int64_t{length} * length &&
        bundle.last_line - bundle.first_line <= thickest + length / 20)
      done.push_back(std::move(bundle));
  }
  open.erase(open.begin() + static_cast<std::ptrdiff_t>(kept), open.end());
}

std::vector<Bundle> bundles_of(const std::vector<RulePiece>& pieces, int thickest) {
  std::vector<Bundle> open, done;
  int line = -1;
  for (const RulePiece& piece : pieces) {
    if (piece.line != line) end_bundles(open, done, line = piece.line, thickest);
    Bundle* home = nullptr;
    for (Bundle& bundle : open)
      if (piece.from <= bundle.to + kRuleGap && bundle.from <= piece.to + kRuleGap) home = &bundle;
    if (home == nullptr) {
      open.push_back({line, line, piece.from, piece.to, 0, {}});
      home = &open.back();
    }
    home->last_line = line;
    home->from = std::min(home->from, piece.from);
    home->to = std::max(home->to, piece.to);
    home->ink += piece.to - piece.from;
    if (home->ink <= std::int64_t{thickest} * (home->to - home->from) * 2) home->pieces.push_back(piece);
  }
  end_bundles(open, done, line + kRuleGap + 1, thickest);
  return done;
}

}  // namespace

std::vector<Mark> find_marks(const Plane& ink, const Rect& within, int fewest_pixels) {
  std::vector<Mark> found;
  Labeller labeller(fewest_pixels, found);
  std::vector<Run> runs;
  for (int y = within.y0; y < within.y1; ++y) {
    runs_of(ink.row(y), within.x0, within.x1, runs);
    labeller.add_row(y, runs);
  }
  labeller.finish(within.y1);
  return found;
}

namespace {

// Short vertical rules are those that end at horizontal ones: the sides of low cells and frames.
void keep_sides(std::vector<Bundle>& down, const std::vector<Bundle>& across, int page_height, int shortest,
                int thickest) {
  RowIndex index(page_height, 16);
  for (std::size_t i = 0; i < across.size(); ++i)
    index.add(static_cast<int>(i), across[i].first_line, across[i].last_line + 1);
  const auto ends_there = [&](const Bundle& side, int y) {
    for (const int at : {y - thickest, y + thickest}) {
      for (const int i : index.at(std::clamp(at, 0, page_height - 1))) {
        const Bundle& rule = across[i];
        if (rule.from <= side.last_line + thickest && side.first_line <= rule.to + thickest &&
            std::abs(rule.first_line - y) <= 2 * thickest)
          return true;
      }
    }
    return false;
  };
  std::erase_if(down, [&](const Bundle& side) {
    if (side.to - side.from >= shortest) return false;
    return side.last_line - side.first_line >= thickest || !ends_there(side, side.from) ||
           !ends_there(side, side.to);
  });
}

}  // namespace

std::vector<Rule> take_rules(Plane& ink, int shortest, int thickest) {
  std::vector<Rule> rules;
  const std::vector<Bundle> across = bundles_of(horizontal_pieces(ink, shortest), thickest);
  std::vector<Bundle> down = bundles_of(vertical_pieces(ink, std::max(6, shortest / 4)), thickest);
  keep_sides(down, across, ink.height, shortest, thickest);
  for (const Bundle& bundle : across) {
    rules.push_back({{bundle.from, bundle.first_line, bundle.to, bundle.last_line + 1}, true});
    for (const RulePiece& piece : bundle.pieces)
      std::fill(ink.row(piece.line) + piece.from, ink.row(piece.line) + piece.to, std::uint8_t{0});
  }
  for (const Bundle& bundle : down) {
    rules.push_back({{bundle.first_line, bundle.from, bundle.last_line + 1, bundle.to}, false});
    for (const RulePiece& piece : bundle.pieces)
      for (int y = piece.from; y < piece.to; ++y) ink.row(y)[piece.line] = 0;
  }
  return rules;
}

int letter_height(const std::vector<Mark>& marks) {
  std::vector<int> heights, dots;
  for (const Mark& mark : marks) {
    const int width = mark.box.width(), height = mark.box.height();
    if (height < 3 || width > 12 * height) continue;
    // Leaders may have more dots than a page has letters.
    const bool dot = std::abs(width - height) <= 1 && 10 * mark.ink > 7 * width * height;
    (dot ? dots : heights).push_back(height);
  }
  if (20 * heights.size() < dots.size()) heights.insert(heights.end(), dots.begin(), dots.end());
  if (heights.empty()) return 0;
  std::sort(heights.begin(), heights.end());
  const std::int64_t total = std::accumulate(heights.begin(), heights.end(), std::int64_t{0});
  // Half of all heights laid end to end: specks do not count much.
  std::int64_t so_far = 0;
  std::size_t middle = 0;
  while (middle + 1 < heights.size() && 2 * (so_far += heights[middle]) < total) ++middle;
  const int median = heights[middle];
  std::erase_if(heights, [&](int height) { return 5 * height < 2 * median || height > 3 * median; });
  return heights[(heights.size() - 1) * 17 / 20];
}

}  // namespace glmocr::layout
