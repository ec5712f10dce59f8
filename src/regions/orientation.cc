// SPDX-License-Identifier: Apache-2.0
// Letters stand on lines. Seen along the lines, their feet come to lie on few places, and the histogram of these places has
// the sharpest peaks; along any other direction it is even. So the direction of lines is found, level or upright, with a
// skew. Which way up the lines are is told by two independent signs, which have to agree: more letters of Latin print rise
// above the small ones than hang below, and dots and accents stand above letters, not below.
#include "regions/orientation.h"

#include <array>
#include <cmath>
#include <cstdint>
#include <numbers>
#include <span>

#include "base/error.h"
#include "glmocr/region.h"
#include "image/orient.h"
#include "regions/marks.h"
#include "regions/row_index.h"

namespace glmocr {
namespace {

using layout::Mark;
using layout::Plane;
using layout::Rect;

constexpr std::int64_t kMostPixels = std::int64_t{4} << 20;
constexpr std::size_t kMostLetters = 6000;  // looked at
constexpr std::size_t kFewestLetters = 60;

constexpr double kLargestSkew = 15, kCoarse = 0.5, kFine = 0.05;  // degrees
constexpr double kLeastSkew = 0.3;
constexpr double kSharp = 1.5;          // how many times sharper than in most directions lines are
constexpr double kSkewSharp = 2.2;      // the same for a skew that is to be believed
constexpr double kSidewaysSharp = 1.6;  // how many times sharper upright lines are, to be believed

constexpr double kFewestRising = 0.17;  // of the letters, those that rise above the small ones
constexpr double kFewestLow = 0.35;     // those that are small
constexpr double kOtherWay = 0.4;       // of those that rise, those that hang at most
constexpr int kFewestDots = 6;
constexpr int kLettersOfLine = 8;

double radians(double degrees) { return degrees * std::numbers::pi / 180; }

// The marks of a page that may be letters, and smaller ones; and the usual size of letters.
struct Print {
  std::vector<Rect> letters, dots;
  int size = 0;
};

int larger_side(const Rect& box) { return std::max(box.width(), box.height()); }

Print print_of(const Image& page) {
  Print print;
  const Plane ink = layout::find_ink(layout::grey_page(page, kMostPixels).grey);
  const std::vector<Mark> marks = layout::find_marks(ink, {0, 0, ink.width, ink.height}, 3);
  std::vector<int> sizes;
  for (const Mark& mark : marks)
    if (larger_side(mark.box) >= 4) sizes.push_back(larger_side(mark.box));
  if (sizes.size() < kFewestLetters) return print;
  std::nth_element(sizes.begin(), sizes.begin() + std::ssize(sizes) / 2, sizes.end());
  print.size = sizes[sizes.size() / 2];
  for (const Mark& mark : marks) {
    const int side = larger_side(mark.box);
    if (10 * side >= 6 * print.size && side <= 3 * print.size) print.letters.push_back(mark.box);
    if (10 * side < 5 * print.size) print.dots.push_back(mark.box);
  }
  return print;
}

// Every n-th, so that there are not too many.
std::vector<Rect> sample(const std::vector<Rect>& letters) {
  const std::size_t step = letters.size() / kMostLetters + 1;
  std::vector<Rect> some;
  for (std::size_t i = 0; i < letters.size(); i += step) some.push_back(letters[i]);
  return some;
}

// How sharp the places are at which the feet of letters lie, seen along lines that fall by so many degrees: 1 if they are even.
double sharpness(std::span<const Point> feet, double degrees, double bin, std::vector<int>& histogram) {
  const double sine = std::sin(radians(degrees)), cosine = std::cos(radians(degrees));
  double low = 1e30, high = -1e30;
  for (const Point& foot : feet) {
    const double place = foot.y * cosine - foot.x * sine;
    low = std::min(low, place);
    high = std::max(high, place);
  }
  const std::size_t bins = static_cast<std::size_t>((high - low) / bin) + 1;
  histogram.assign(bins, 0);
  for (const Point& foot : feet)
    ++histogram[static_cast<std::size_t>((foot.y * cosine - foot.x * sine - low) / bin)];
  double squares = 0;
  for (const int count : histogram) squares += double(count) * count;
  const double even = double(feet.size()) * double(feet.size()) / double(bins);
  return squares / even;
}

struct Direction {
  double skew = 0;       // degrees
  double sharpness = 0;  // of the lines in this direction
  double usual = 1;      // in the middle of all directions that were tried
};

Direction find_direction(std::span<const Point> feet, double bin) {
  std::vector<int> histogram;
  Direction best;
  std::vector<double> tried;
  const auto look = [&](double degrees) {
    const double value = sharpness(feet, degrees, bin, histogram);
    if (value > best.sharpness) best.sharpness = value, best.skew = degrees;
    return value;
  };
  for (double degrees = -kLargestSkew; degrees <= kLargestSkew; degrees += kCoarse)
    tried.push_back(look(degrees));
  const double middle = best.skew;
  for (double off = -kCoarse; off <= kCoarse; off += kFine) look(middle + off);
  std::nth_element(tried.begin(), tried.begin() + std::ssize(tried) / 2, tried.end());
  best.usual = tried[tried.size() / 2];
  return best;
}

// The boxes after a quarter turn clockwise of a page of this height.
std::vector<Rect> turned(const std::vector<Rect>& boxes, int height) {
  std::vector<Rect> result;
  for (const Rect& box : boxes) result.push_back({height - box.y1, box.x0, height - box.y0, box.x1});
  return result;
}

std::vector<Point> feet_of(const std::vector<Rect>& letters) {
  std::vector<Point> feet;
  for (const Rect& box : letters) feet.push_back({(box.x0 + box.x1) / 2.0, double(box.y1)});
  return feet;
}

// Sheared so that lines of that skew are level; not below 0.
std::vector<Rect> levelled(const std::vector<Rect>& boxes, double skew) {
  const double slope = std::tan(radians(skew));
  std::vector<Rect> result;
  int top = 0;
  for (const Rect& box : boxes) {
    const int by = static_cast<int>(std::lround(slope * (box.x0 + box.x1) / 2));
    result.push_back({box.x0, box.y0 - by, box.x1, box.y1 - by});
    top = std::min(top, box.y0 - by);
  }
  for (Rect& box : result) box.y0 -= top, box.y1 -= top;
  return result;
}

// The value that most others are near to.
int mode_of(std::vector<int> values, int near) {
  std::sort(values.begin(), values.end());
  int best = values[0];
  std::size_t most = 0, from = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    while (values[i] - values[from] > near) ++from;
    if (i + 1 - from > most) most = i + 1 - from, best = values[(from + i) / 2];
  }
  return best;
}

struct Ups {
  int letters = 0, low = 0, rising = 0, hanging = 0;
  int dots_above = 0, dots_below = 0;
};

// Letters of a line, each linked to its neighbour on the right.
std::vector<std::vector<Rect>> lines_of(std::vector<Rect> letters, int size) {
  std::sort(letters.begin(), letters.end(), [](const Rect& a, const Rect& b) { return a.x0 < b.x0; });
  int bottom = 0;
  for (const Rect& box : letters) bottom = std::max(bottom, box.y1);
  layout::RowIndex index(bottom + 1, size);
  layout::Sets sets(letters.size());
  constexpr int kMostNeighbours = 32;
  for (std::size_t i = 0; i < letters.size(); ++i) {
    const Rect& box = letters[i];
    const std::vector<int>& before = index.at((box.y0 + box.y1) / 2);
    int best = -1, looked = 0;
    for (auto it = before.rbegin(); it != before.rend() && looked < kMostNeighbours; ++it, ++looked) {
      const Rect& other = letters[*it];
      if (box.x0 - other.x1 > size || 2 * overlap_y(other, box) < std::min(other.height(), box.height()))
        continue;
      if (best < 0 || other.x1 > letters[best].x1) best = *it;
    }
    if (best >= 0) sets.unite(best, static_cast<int>(i));
    index.add(static_cast<int>(i), box.y0, box.y1);
  }
  std::vector<std::vector<Rect>> lines(letters.size());
  for (std::size_t i = 0; i < letters.size(); ++i)
    lines[sets.root(static_cast<int>(i))].push_back(letters[i]);
  std::erase_if(lines, [](const std::vector<Rect>& line) { return line.size() < kLettersOfLine; });
  return lines;
}

void count_letters(const std::vector<Rect>& line, Ups& ups) {
  std::vector<int> tops, bottoms;
  for (const Rect& box : line) {
    tops.push_back(box.y0);
    bottoms.push_back(box.y1);
  }
  const int rough = std::max(4, mode_of(bottoms, 2) - mode_of(tops, 2));
  const int near = std::max(1, rough / 7);
  const int top = mode_of(tops, near), bottom = mode_of(bottoms, near);
  const int beyond = std::max(2, (bottom - top) / 5);
  for (const Rect& box : line) {
    const bool at_top = std::abs(box.y0 - top) <= near, at_bottom = std::abs(box.y1 - bottom) <= near;
    ++ups.letters;
    ups.low += at_top && at_bottom;
    ups.rising += at_bottom && box.y0 < top - beyond;
    ups.hanging += at_top && box.y1 > bottom + beyond;
  }
}

// Dots right above or below a single letter, and nothing on their other side.
void count_dots(const std::vector<Rect>& letters, const std::vector<Rect>& dots, int size, Ups& ups) {
  int bottom = 0;
  for (const Rect& box : letters) bottom = std::max(bottom, box.y1);
  layout::RowIndex index(bottom + 1, size);
  for (std::size_t i = 0; i < letters.size(); ++i)
    index.add(static_cast<int>(i), letters[i].y0, letters[i].y1);
  for (const Rect& dot : dots) {
    bool above = false, below = false;
    for (const bool down : {false, true}) {
      for (const int i : index.at(std::clamp(down ? dot.y1 + size / 3 : dot.y0 - size / 3, 0, bottom))) {
        const Rect& letter = letters[i];
        if (2 * overlap_x(letter, dot) < dot.width()) continue;
        const int gap = down ? letter.y0 - dot.y1 : dot.y0 - letter.y1;
        if (gap >= 0 && 5 * gap <= 2 * size) (down ? above : below) = true;
      }
    }
    ups.dots_above += above && !below;
    ups.dots_below += below && !above;
  }
}

enum class Way { unknown, upright, upside_down };

Way way_of(const std::vector<Rect>& letters, const std::vector<Rect>& dots, int size, double& confidence) {
  Ups ups;
  for (const std::vector<Rect>& line : lines_of(letters, size)) count_letters(line, ups);
  count_dots(letters, dots, size, ups);
  confidence = 0;
  if (ups.letters < static_cast<int>(kFewestLetters) || ups.low < kFewestLow * ups.letters)
    return Way::unknown;
  const int more = std::max(ups.rising, ups.hanging), less = std::min(ups.rising, ups.hanging);
  const int more_dots = std::max(ups.dots_above, ups.dots_below),
            less_dots = std::min(ups.dots_above, ups.dots_below);
  if (more < kFewestRising * ups.letters || less > kOtherWay * more) return Way::unknown;
  if (more_dots < kFewestDots || 2 * less_dots > more_dots) return Way::unknown;
  const bool letters_up = ups.rising > ups.hanging, dots_up = ups.dots_above > ups.dots_below;
  if (letters_up != dots_up) return Way::unknown;
  confidence = 1 - double(less) / more * double(less_dots + 1) / (more_dots + 1);
  return letters_up ? Way::upright : Way::upside_down;
}

// A row of the turned picture: where each pixel comes from moves by a constant step.
void rotate_row(const Image& from, double x, double y, double step_x, double step_y,
                std::span<std::uint8_t> row) {
  for (std::size_t i = 0; i < row.size(); i += 3, x += step_x, y += step_y) {
    const int x0 = static_cast<int>(std::floor(x)), y0 = static_cast<int>(std::floor(y));
    if (x0 < -1 || y0 < -1 || x0 >= from.width || y0 >= from.height) continue;
    const double right = x - x0, down = y - y0;
    const auto pixel = [&](int px, int py, std::size_t c) -> double {
      if (px < 0 || py < 0 || px >= from.width || py >= from.height) return 255;
      return from.rgb[3 * (std::int64_t{py} * from.width + px) + static_cast<std::int64_t>(c)];
    };
    for (std::size_t c = 0; c < 3; ++c) {
      const double top = pixel(x0, y0, c) * (1 - right) + pixel(x0 + 1, y0, c) * right;
      const double bottom = pixel(x0, y0 + 1, c) * (1 - right) + pixel(x0 + 1, y0 + 1, c) * right;
      row[i + c] = static_cast<std::uint8_t>(std::lround(top * (1 - down) + bottom * down));
    }
  }
}

// Turned anticlockwise by so many degrees, on white, so large that nothing is cut off.
Image rotated(const Image& from, double degrees) {
  const double sine = std::sin(radians(degrees)), cosine = std::cos(radians(degrees));
  Image to;
  to.width = static_cast<int>(std::ceil(from.width * cosine + from.height * std::abs(sine)));
  to.height = static_cast<int>(std::ceil(from.height * cosine + from.width * std::abs(sine)));
  to.rgb.assign(std::int64_t{3} * to.width * to.height, 255);
  for (int y = 0; y < to.height; ++y) {
    const double off_x = -(to.width - 1) / 2.0, off_y = y - (to.height - 1) / 2.0;
    const double x = (from.width - 1) / 2.0 + off_x * cosine - off_y * sine;
    const double from_y = (from.height - 1) / 2.0 + off_x * sine + off_y * cosine;
    rotate_row(from, x, from_y, cosine, sine,
               std::span(to.rgb).subspan(std::size_t{3} * to.width * y, std::size_t{3} * to.width));
  }
  return to;
}

}  // namespace

PageAngle find_angle(const Image& page) {
  PageAngle angle;
  if (page.width < 1 || page.height < 1) return angle;
  Print print = print_of(page);
  if (print.letters.size() < kFewestLetters) return angle;
  const int height = std::max(1, page.height);
  const double bin = std::max(1.0, print.size / 5.0);
  const std::vector<Rect> some = sample(print.letters);
  const Direction level = find_direction(feet_of(some), bin);
  const Direction upright = find_direction(feet_of(turned(some, height)), bin);
  const bool sideways = upright.sharpness > kSidewaysSharp * level.sharpness;
  const Direction& found = sideways ? upright : level;
  if (found.sharpness < kSharp * found.usual) return angle;  // no lines
  if (sideways) {
    print.letters = turned(print.letters, height);
    print.dots = turned(print.dots, height);
  }
  // Letters and dots have to be sheared together.
  std::vector<Rect> all = print.letters;
  all.insert(all.end(), print.dots.begin(), print.dots.end());
  all = levelled(all, found.skew);
  const auto split = all.begin() + std::ssize(print.letters);
  double confidence = 0;
  const Way way = way_of({all.begin(), split}, {split, all.end()}, print.size, confidence);
  if (way == Way::unknown && sideways) return angle;
  angle.rotation = (sideways ? 90 : 0) + (way == Way::upside_down ? 180 : 0);
  const bool is_skewed = std::abs(found.skew) > kLeastSkew && found.sharpness > kSkewSharp * found.usual;
  angle.skew = is_skewed ? found.skew : 0;
  const double sharp = 1 - kSharp * found.usual / found.sharpness;
  angle.confidence = std::clamp(way == Way::unknown ? sharp / 2 : (sharp + confidence) / 2, 0.0, 1.0);
  return angle;
}

Image turn_back(Image page, const PageAngle& angle) {
  if (angle.rotation % 90 != 0 || !(std::abs(angle.skew) <= kLargestSkew + 1)) {
    fail(ErrorCode::usage,
         cat("a page cannot be turned by ", angle.rotation, " and ", angle.skew, " degrees"));
  }
  constexpr std::array<int, 4> kOrientation{1, 6, 3, 8};  // of EXIF
  page = oriented(std::move(page), kOrientation[static_cast<std::size_t>((angle.rotation / 90 % 4 + 4) % 4)]);
  if (std::abs(angle.skew) <= kLeastSkew || page.width < 1 || page.height < 1) return page;
  return rotated(page, angle.skew);
}

}  // namespace glmocr
