// SPDX-License-Identifier: Apache-2.0
#include "pdf/invisible_text.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numbers>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/utf8.h"
#include "pdf/glyphless_font.h"
#include "pdf/pdf_output.h"
#include "pdf/text_lines.h"

namespace glmocr::pdf {
namespace {

// In sizes of the font.
constexpr double kWordGap = 0.22;      // between words: readers of PDF files take less for none
constexpr double kLeastAdvance = 0.2;  // from letter to letter
constexpr double kSameLine = 0.6;      // between base lines, at most
constexpr double kBaseLine = 0.2;      // of the base line above the lower edge of a line
constexpr double kLineHeight = 1.2;    // of text of which only the box of all its lines is known

constexpr std::size_t kFewLetters = 2;
constexpr double kHigh = 1.5;  // against the usual height of a line

struct Word {
  std::u32string text;
  double begin = 0, end = 0;  // along the line
};

bool is_white(char32_t c) {
  return c == 0 || c == ' ' || (c >= '\t' && c <= '\r') || c == 0xA0 || c == 0x3000;
}

// Control characters have no place in a text.
std::u32string letters_of(const std::string& text) {
  std::u32string letters = decode_utf8(to_valid_utf8(text));
  std::erase_if(letters, [](char32_t c) { return !is_white(c) && (c < 0x20 || (c >= 0x7F && c < 0xA0)); });
  return letters;
}

std::vector<std::u32string> split_words(const std::u32string& text) {
  std::vector<std::u32string> words;
  bool inside = false;
  for (const char32_t c : text) {
    if (is_white(c)) {
      inside = false;
      continue;
    }
    if (!inside) words.emplace_back();
    inside = true;
    words.back() += c;
  }
  return words;
}

bool is_left_word(const std::u32string& word) { return std::any_of(word.begin(), word.end(), runs_left); }

// One line of words whose places are known, or shared out.
class LineWriter {
 public:
  // `down`: the text runs down, each letter turned clockwise.
  LineWriter(const Box& box, double page_height, bool down)
      : box_(box), page_height_(page_height), down_(down) {}

  double length() const { return std::max(down_ ? box_.y1 - box_.y0 : box_.x1 - box_.x0, 1.0); }
  double thickness() const { return std::max(down_ ? box_.x1 - box_.x0 : box_.y1 - box_.y0, 1.0); }

  // What follows on the same height begins here: readers of PDF files would take it for the same word.
  void end_before(double x) { limit_ = x - box_.x0; }

  void add(std::u32string text, double begin, double end) { words_.push_back({std::move(text), begin, end}); }

  // Shares the length out between words, from the right where most run to the left.
  void share_out(std::vector<std::u32string> words) {
    std::size_t letters = words.size() - 1;
    for (const std::u32string& word : words) letters += word.size();
    const double step = length() / static_cast<double>(letters);
    const auto left_words = std::count_if(words.begin(), words.end(), is_left_word);
    const bool leftwards = 2 * left_words > std::ssize(words);
    double at = 0;
    for (std::u32string& word : words) {
      const double size = step * static_cast<double>(word.size());
      const double begin = leftwards ? length() - at - size : at;
      add(std::move(word), begin, begin + size);
      at += size + step;
    }
  }

  // Calls `show` with the text, from the left, and its matrix and width in sizes of the font.
  template <class Show>
  void write(Show show) {
    const double size = font_size();
    separate(size);
    for (const Word& word : words_) {
      std::u32string text = word.text;
      if (is_left_word(text)) std::reverse(text.begin(), text.end());
      const double stretch =
          (word.end - word.begin) /
          (size * kGlyphWidth * static_cast<double>(std::max<std::size_t>(text.size(), 1)));
      if (down_) {
        show(text, Matrix{0, -size, size, 0, box_.x0 + kBaseLine * size, page_height_ - box_.y0 - word.begin},
             stretch);
      } else {
        show(text, Matrix{size, 0, 0, size, box_.x0 + word.begin, page_height_ - box_.y1 + kBaseLine * size},
             stretch);
      }
    }
  }

 private:
  // As high as the line, or less where its letters are too close for that.
  double font_size() const {
    double size = thickness();
    for (const Word& word : words_) {
      const double advance =
          (word.end - word.begin) / static_cast<double>(std::max<std::size_t>(word.text.size(), 1));
      size = std::min(size, std::max(advance, 0.5) / kLeastAdvance);
    }
    return std::max(size, 1.0);
  }

  // Makes room between words that follow each other to the right.
  void separate(double size) {
    for (std::size_t i = 0; i < words_.size(); ++i) {
      Word& word = words_[i];
      const double least = kLeastAdvance * size * static_cast<double>(word.text.size());
      if (i > 0 && word.end > words_[i - 1].begin) {
        const double shift = words_[i - 1].end + kWordGap * size - word.begin;
        if (shift > 0 && word.begin >= words_[i - 1].begin) word.begin += shift;
      }
      const double next = i + 1 < words_.size() ? words_[i + 1].begin : limit_;
      if (next > word.begin) word.end = std::min(word.end, next - kWordGap * size);
      word.end = std::max(word.end, word.begin + least);
    }
  }

  Box box_;
  double page_height_;
  bool down_;
  double limit_ = std::numeric_limits<double>::infinity();
  std::vector<Word> words_;
};
class TextWriter {
 public:
  explicit TextWriter(const SearchablePage& page) : width_(page.width), height_(page.height) {
    // The content of a page may leave its own spacing behind.
    result_.content = "BT\n3 Tr 0 Tc 0 Tw 0 Ts\n";
    std::vector<double> heights;
    for (const PlacedText& line : page.lines) heights.push_back(box_of(line).y1 - box_of(line).y0);
    if (!heights.empty()) {
      std::nth_element(heights.begin(), heights.begin() + std::ssize(heights) / 2, heights.end());
      usual_ = heights[heights.size() / 2];
    }
    for (std::size_t i = 0; i < page.lines.size(); ++i) {
      next_ = i + 1 < page.lines.size() ? box_of(page.lines[i + 1]) : Box{};
      add_line(page.lines[i]);
    }
    result_.content += "ET\n";
  }
  InvisibleText take() { return std::move(result_); }

 private:
  void add_line(const PlacedText& line) {
    if (line.words.empty()) return add_block(line);
    std::size_t letters = 0;
    for (const PlacedText& word : line.words) letters += letters_of(word.text).size();
    const Box box = as_high_as_others(box_of(line), letters);
    const bool down = is_upright(box, letters);
    LineWriter writer(box, height_, down);
    for (const PlacedText& word : line.words) {
      std::u32string text;  // a word has no white space; where it has, it stays one
      for (const std::u32string& part : split_words(letters_of(word.text)))
        text += (text.empty() ? U"" : U" ") + part;
      if (text.empty()) continue;
      const Box place = on_page(word.box);
      if (down) {
        writer.add(std::move(text), place.y0 - box.y0, place.y1 - box.y0);
      } else {
        writer.add(std::move(text), place.x0 - box.x0, place.x1 - box.x0);
      }
    }
    write(writer, box, down);
  }

  // A line, or several in one box: as many as its letters need that are as high as they are far apart.
  void add_block(const PlacedText& block) {
    std::vector<std::u32string> words = split_words(letters_of(block.text));
    if (words.empty()) return;
    std::size_t letters = words.size() - 1;
    for (const std::u32string& word : words) letters += word.size();
    const Box whole = as_high_as_others(on_page(block.box), letters);
    const double width = std::max(whole.x1 - whole.x0, 1.0), height = std::max(whole.y1 - whole.y0, 1.0);
    const bool down = is_upright(whole, letters);
    const double size =
        std::sqrt(width * height / (kGlyphWidth * kLineHeight * static_cast<double>(letters)));
    const int rows = down ? 1 : std::clamp(static_cast<int>(height / (kLineHeight * size)), 1, 1000);
    const std::size_t room = (letters + static_cast<std::size_t>(rows) - 1) / static_cast<std::size_t>(rows);
    std::size_t next = 0;
    for (int row = 0; row < rows && next < words.size(); ++row) {
      std::vector<std::u32string> part;
      std::size_t used = 0;
      while (next < words.size() && (part.empty() || row == rows - 1 || used + words[next].size() <= room)) {
        used += words[next].size() + 1;
        part.push_back(std::move(words[next++]));
      }
      Box box = whole;
      box.y0 = whole.y0 + height * row / rows;
      box.y1 = whole.y0 + height * (row + 1) / rows;
      LineWriter writer(box, height_, down);
      writer.share_out(std::move(part));
      write(writer, box, down);
    }
  }

  Box on_page(const Box& box) const {
    const auto inside = [](double value, double most) {
      return std::isfinite(value) ? std::clamp(value, 0.0, most) : 0;
    };
    const double x0 = inside(box.x0, width_ - 1), y0 = inside(box.y0, height_ - 1);
    return {x0, y0, std::max(inside(box.x1, width_), x0 + 1), std::max(inside(box.y1, height_), y0 + 1)};
  }

  Box box_of(const PlacedText& line) const {
    if (line.words.empty()) return on_page(line.box);
    Box box = on_page(line.words.front().box);
    for (const PlacedText& word : line.words) {
      const Box more = on_page(word.box);
      box = {std::min(box.x0, more.x0), std::min(box.y0, more.y0), std::max(box.x1, more.x1),
             std::max(box.y1, more.y1)};
    }
    return box;
  }

  // Brackets and sums stand over several lines, whose letters would be taken for their words.
  Box as_high_as_others(const Box& box, std::size_t letters) const {
    const double middle = (box.y0 + box.y1) / 2;
    if (letters > kFewLetters || box.y1 - box.y0 < kHigh * usual_) return box;
    return {box.x0, middle - usual_ / 2, box.x1, middle + usual_ / 2};
  }

  // Whether the text runs down in a narrow, high box.
  static bool is_upright(const Box& box, std::size_t letters) {
    return letters > 2 && box.y1 - box.y0 > 2.5 * (box.x1 - box.x0);
  }

  void write(LineWriter& writer, const Box& box, bool down) {
    const double height = box.y1 - box.y0,
                 apart = (box.y1 - kBaseLine * height) - (next_.y1 - kBaseLine * (next_.y1 - next_.y0));
    const bool beside = next_.x0 > (box.x0 + box.x1) / 2 && std::abs(apart) < kSameLine * height;
    if (beside && !down) writer.end_before(next_.x0);
    writer.write([this](const std::u32string& text, const Matrix& matrix, double stretch) {
      std::string& out = result_.content;
      out += cat("/F 1 Tf ", number(100 * stretch), " Tz");
      for (const double value : matrix) {
        out += ' ';
        out += number(value);
      }
      out += " Tm <";
      for (const char32_t c : text) out += code(c);
      out += code(' ');
      out += "> Tj\n";
    });
  }

  std::string code(char32_t c) {
    auto [at, is_new] = codes_.try_emplace(c, 0);
    if (is_new) {
      if (result_.letters.size() == kMostLetters) result_.letters.back() = c = kReplacementCharacter;
      if (result_.letters.size() < kMostLetters) result_.letters += c;
      at->second = result_.letters.size();
    }
    constexpr std::string_view kDigits = "0123456789ABCDEF";
    std::string digits;
    for (const int shift : {12, 8, 4, 0}) digits += kDigits[(at->second >> shift) & 0xF];
    return digits;
  }

  double width_, height_;
  double usual_ = 0;  // height of lines
  Box next_;          // of the line after this one
  InvisibleText result_;
  std::unordered_map<char32_t, std::size_t> codes_;
};

// First `one`, then `other`.
Matrix then(const Matrix& one, const Matrix& other) {
  const auto [a, b, c, d, e, f] = one;
  const auto [p, q, r, s, t, u] = other;
  return {a * p + b * r, a * q + b * s, c * p + d * r, c * q + d * s, e * p + f * r + t, e * q + f * s + u};
}

}  // namespace

void check(const SearchablePage& page) {
  const bool turned = page.rotation % 90 == 0 && page.rotation >= 0 && page.rotation < 360;
  if (page.number < 1 || page.width < 1 || page.height < 1 || !turned || !std::isfinite(page.skew)) {
    fail(ErrorCode::usage, cat("a searchable page has the number ", page.number, ", the size ", page.width,
                               " x ", page.height, ", rotation ", page.rotation, " and skew ", page.skew));
  }
}

InvisibleText invisible_text(const SearchablePage& page) { return TextWriter(page).take(); }

PictureSize unturned_size(const SearchablePage& page) {
  if (page.rotation % 180 == 0) return {page.width, page.height};
  return {page.height, page.width};
}

Matrix to_unturned_picture(const SearchablePage& page) {
  const double width = page.width, height = page.height;
  const double angle = page.skew * std::numbers::pi / 180, cosine = std::cos(angle), sine = std::sin(angle);
  const Matrix from_top = {1, 0, 0, -1, 0, height};
  // About the middle, clockwise as seen.
  const Matrix skewed = {cosine,
                         sine,
                         -sine,
                         cosine,
                         (width - width * cosine + height * sine) / 2,
                         (height - width * sine - height * cosine) / 2};
  Matrix back = {1, 0, 0, 1, 0, 0};
  if (page.rotation == 90) back = {0, -1, 1, 0, 0, width};
  if (page.rotation == 180) back = {-1, 0, 0, -1, width, height};
  if (page.rotation == 270) back = {0, 1, -1, 0, height, 0};
  return then(then(from_top, skewed), back);
}

}  // namespace glmocr::pdf
