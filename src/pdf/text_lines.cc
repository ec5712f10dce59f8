// SPDX-License-Identifier: Apache-2.0
#include "pdf/text_lines.h"

#include <algorithm>
#include <cmath>
#include <string_view>

#include "base/utf8.h"

namespace glmocr::pdf {
namespace {

// In sizes of the font.
constexpr double kBaseLineShift = 0.5;   // of indices and exponents, at most
constexpr double kSupposedSpace = 0.12;  // where the renderer supposes a space
constexpr double kColumnGap = 2;         // what is further away is another column
constexpr double kBackwards = 0.3;       // letters may overlap so far
constexpr double kMinTallness = 1.1;     // of a tall letter against a low one
constexpr std::string_view kTall = "bdfhkltABCDEFGHIJKLMNOPRSTUVWXYZ", kLow = "acemnorsuvwxz";

bool is_space(std::uint32_t c) {
  return c == ' ' || (c >= '\t' && c <= '\r') || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F ||
         c == 0x3000;
}

bool is_code_point(std::uint32_t c) { return c <= 0x10FFFF && !(c >= 0xD800 && c <= 0xDFFF); }

bool is_printable(std::uint32_t c) {
  const bool private_use = (c >= 0xE000 && c <= 0xF8FF) || c >= 0xF0000;
  const bool noncharacter = (c & 0xFFFE) == 0xFFFE || (c >= 0xFDD0 && c <= 0xFDEF);
  return c >= 0x20 && !(c >= 0x7F && c < 0xA0) && c != 0xFFFD && is_code_point(c) && !private_use &&
         !noncharacter;
}

// A character along its own line: `begin` to `end` in the direction in which the text runs, its base line across.
struct Placed {
  double begin = 0, end = 0, base = 0;
};

Placed along_line(const Character& c) {
  switch (c.direction) {
    case 1:
      return {c.y0, c.y1, c.origin_x};
    case 2:
      return {-c.x1, -c.x0, c.origin_y};
    case 3:
      return {-c.y1, -c.y0, c.origin_x};
    default:
      return {c.x0, c.x1, c.origin_y};
  }
}

double tallness(const Character& c) { return c.direction % 2 == 0 ? c.y1 - c.y0 : c.x1 - c.x0; }

void extend(Box& box, const Box& more) {
  box.x0 = std::min(box.x0, more.x0);
  box.y0 = std::min(box.y0, more.y0);
  box.x1 = std::max(box.x1, more.x1);
  box.y1 = std::max(box.y1, more.y1);
}

class Grouper {
 public:
  Grouper(int width, int height) {
    layer_.width = width;
    layer_.height = height;
  }

  void add(const Character& c) {
    if ((c.flags & Character::kGenerated) != 0) {
      space_supposed_ = true;
      return;
    }
    if (is_space(c.code_point)) in_word_ = false;
    if (is_space(c.code_point) || !lies_on_page(c)) return;
    count(c);
    if (starts_line(c)) start_line(c);
    if (space_supposed_ && gap(c) > kSupposedSpace * std::min(last_.size, c.size)) in_word_ = false;
    space_supposed_ = false;
    if (!in_word_) layer_.lines.back().words.push_back({box_of(c), "", {}});
    in_word_ = true;
    PlacedText& word = layer_.lines.back().words.back();
    extend(word.box, box_of(c));
    append_utf8(word.text,
                is_code_point(c.code_point) && c.code_point != 0 ? c.code_point : kReplacementCharacter);
    if (c.size >= size_) {  // the base line is that of the largest letters
      size_ = c.size;
      base_ = along_line(c).base;
    }
    last_ = c;
  }

  TextLayer take() {
    for (PlacedText& line : layer_.lines) {
      line.box = line.words.front().box;
      for (const PlacedText& word : line.words) {
        extend(line.box, word.box);
        if (!line.text.empty()) line.text += ' ';
        line.text += word.text;
      }
    }
    return std::move(layer_);
  }

 private:
  bool lies_on_page(const Character& c) const {
    for (const float number : {c.x0, c.y0, c.x1, c.y1, c.origin_x, c.origin_y, c.size}) {
      if (!std::isfinite(number)) return false;
    }
    const double x = (double{c.x0} + c.x1) / 2, y = (double{c.y0} + c.y1) / 2;
    return c.x0 <= c.x1 && c.y0 <= c.y1 && c.size >= 0 && c.direction <= 3 && x >= 0 && y >= 0 &&
           x <= layer_.width && y <= layer_.height;
  }

  Box box_of(const Character& c) const {
    const double width = layer_.width, height = layer_.height;
    return {std::clamp<double>(c.x0, 0, width), std::clamp<double>(c.y0, 0, height),
            std::clamp<double>(c.x1, 0, width), std::clamp<double>(c.y1, 0, height)};
  }

  bool starts_line(const Character& c) const {
    if (layer_.lines.empty() || c.direction != last_.direction) return true;
    const Placed now = along_line(c), before = along_line(last_);
    const double size = std::max<double>(size_, c.size);
    if (std::abs(now.base - base_) > kBaseLineShift * size) return true;
    if (now.begin - before.end > kColumnGap * size) return true;
    const bool leftwards = runs_left(c.code_point) || runs_left(last_.code_point);
    return leftwards ? before.begin - now.end > kColumnGap * size
                     : now.end < before.begin - kBackwards * size;
  }

  // Between a character and the one before it.
  double gap(const Character& c) const {
    const Placed now = along_line(c), before = along_line(last_);
    return std::max(now.begin - before.end, before.begin - now.end);
  }

  void start_line(const Character& c) {
    layer_.lines.emplace_back();
    in_word_ = false;
    size_ = 0;
    base_ = along_line(c).base;
  }

  void count(const Character& c) {
    TextQuality& quality = layer_.quality;
    ++quality.characters;
    if ((c.flags & Character::kInvisible) != 0) ++quality.invisible;
    if ((c.flags & Character::kUnmapped) != 0) ++quality.unmapped;
    if (!is_printable(c.code_point)) ++quality.unprintable;
    if (in_word_ && c.size == last_.size && c.direction == last_.direction) count_heights(last_, c);
  }

  void count_heights(const Character& one, const Character& other) {
    const auto is = [](const Character& c, std::string_view letters) {
      return c.code_point < 0x80 && letters.find(static_cast<char>(c.code_point)) != std::string_view::npos;
    };
    const bool first_tall = is(one, kTall) && is(other, kLow),
               second_tall = is(other, kTall) && is(one, kLow);
    if (!first_tall && !second_tall) return;
    const double tall = tallness(first_tall ? one : other), low = tallness(first_tall ? other : one);
    ++layer_.quality.height_pairs;
    if (tall < kMinTallness * low) ++layer_.quality.wrong_heights;
  }

  TextLayer layer_;
  Character last_;
  bool in_word_ = false;
  bool space_supposed_ = false;  // by the renderer: before an index as well
  double size_ = 0, base_ = 0;   // of the line
};

}  // namespace

bool runs_left(char32_t c) {
  return (c >= 0x590 && c <= 0x8FF) || (c >= 0xFB1D && c <= 0xFDFF) || (c >= 0xFE70 && c <= 0xFEFF) ||
         (c >= 0x10800 && c <= 0x10FFF) || (c >= 0x1E800 && c <= 0x1EFFF);
}

TextLayer group_characters(std::span<const Character> characters, int width, int height) {
  const auto is_high = [](std::uint32_t c) { return c >= 0xD800 && c < 0xDC00; };
  const auto is_low = [](std::uint32_t c) { return c >= 0xDC00 && c < 0xE000; };
  Grouper grouper(width, height);
  for (std::size_t i = 0; i < characters.size(); ++i) {
    Character character = characters[i];
    if (i + 1 < characters.size() && is_high(character.code_point) && is_low(characters[i + 1].code_point)) {
      character.code_point =
          0x10000 + ((character.code_point & 0x3FF) << 10) + (characters[++i].code_point & 0x3FF);
    }
    grouper.add(character);
  }
  return grouper.take();
}

}  // namespace glmocr::pdf
