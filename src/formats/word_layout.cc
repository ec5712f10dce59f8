// SPDX-License-Identifier: Apache-2.0
#include "formats/word_layout.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "formats/characters.h"
#include "formats/text_width.h"
#include "formats/unicode_classes.h"
#include "formats/writers.h"

namespace glmocr::formats {
namespace {

std::vector<TextView> words_of(TextView text) {
  std::vector<TextView> words;
  for (TextView word = first_word(text); !word.empty(); word = first_word(text)) {
    words.push_back(word);
    text.remove_prefix(static_cast<std::size_t>(word.data() - text.data()) + word.size());
  }
  return words;
}

// The words of a line from `left` on, `unit` being the width of a medium letter; the last one ends where the line does.
PlacedText spread_line(const std::vector<TextView>& words, const Box& box, double unit) {
  PlacedText line{box, "", {}};
  double left = box.x0;
  for (const TextView word : words) {
    const double right = std::min(left + text_width(word) * unit, box.x1);
    if (!line.text.empty()) line.text += ' ';
    line.text += to_utf8(word);
    line.words.push_back({{std::min(left, right), box.y0, right, box.y1}, to_utf8(word), {}});
    left = right + text_width(U" ") * unit;
  }
  if (!line.words.empty()) line.box.x1 = line.words.back().box.x1;
  return line;
}

double width_of(const std::vector<TextView>& words) {
  double width = 0;
  for (const TextView word : words) width += text_width(word) + text_width(U" ");
  return width;
}

// Cuts words into lines of about the same width.
void add_lines(std::vector<std::vector<TextView>>& lines, const std::vector<TextView>& words, int count) {
  const double share = width_of(words) / count;
  double done = 0;
  int line = -1;
  for (const TextView word : words) {
    const double width = text_width(word) + text_width(U" ");
    const int wanted = std::min(static_cast<int>((done + width / 2) / share), count - 1);
    if (line < 0 || wanted > line) lines.emplace_back();
    line = std::max(wanted, line);
    lines.back().push_back(word);
    done += width;
  }
}

// Lines of words as they may stand in a box that the text fills.
std::vector<std::vector<TextView>> estimated_words(TextView text, const std::string& utf8, const Box& box) {
  const int most = estimated_lines(utf8, box);
  const double share = std::max(text_width(text) / most, 1.0);
  std::vector<std::vector<TextView>> lines;
  for (const TextView line : split(text, U'\n')) {
    const std::vector<TextView> words = words_of(line);
    if (words.empty()) continue;
    add_lines(lines, words, std::max(1, static_cast<int>(std::lround(width_of(words) / share))));
  }
  return lines;
}

std::vector<PlacedText> spread(const std::string& utf8, const Box& box) {
  const Text text = to_text(utf8);
  const auto lines = estimated_words(text, utf8, box);
  double widest = 1;
  for (const auto& words : lines) widest = std::max(widest, width_of(words) - text_width(U" "));
  const double unit = (box.x1 - box.x0) / widest;
  const double height = (box.y1 - box.y0) / std::max<double>(1, static_cast<double>(lines.size()));
  std::vector<PlacedText> placed;
  for (const auto& words : lines) {
    const double top = box.y0 + static_cast<double>(placed.size()) * height;
    placed.push_back(spread_line(words, {box.x0, top, box.x1, top + height}, unit));
  }
  return placed;
}

// A box whose lines run to the right as one whose lines run downwards, the first on the right.
Box turned(const Box& box, const Box& outer) {
  return {outer.x1 - (box.y1 - outer.x0), outer.y0 + (box.x0 - outer.y0), outer.x1 - (box.y0 - outer.x0),
          outer.y0 + (box.x1 - outer.y0)};
}

// Vertical text: spread in a box that lies on its side with its corner at (y0, x0), then turned.
std::vector<PlacedText> spread_down(const std::string& utf8, const Box& box) {
  std::vector<PlacedText> lines = spread(utf8, {box.y0, box.x0, box.y1, box.x1});
  for (PlacedText& line : lines) {
    line.box = turned(line.box, box);
    for (PlacedText& word : line.words) word.box = turned(word.box, box);
  }
  return lines;
}

// Lines that are known, with the words of those that have none.
std::vector<PlacedText> known_lines(const std::vector<PlacedText>& lines) {
  std::vector<PlacedText> placed;
  for (const PlacedText& line : lines) {
    const Text text = to_text(line.text);
    const std::vector<TextView> words = words_of(text);
    if (words.empty()) continue;
    PlacedText copy = line;
    std::erase_if(copy.words, [](const PlacedText& word) { return stripped(to_text(word.text)).empty(); });
    const double width = width_of(words) - text_width(U" ");
    if (copy.words.empty())
      copy.words = spread_line(words, line.box, (line.box.x1 - line.box.x0) / width).words;
    placed.push_back(std::move(copy));
  }
  return placed;
}

}  // namespace

std::vector<PlacedText> placed_lines(const DocumentPage& page, std::size_t index,
                                     const FormatOptions& options) {
  const Region& region = page.regions[index];
  std::vector<PlacedText> lines;
  if (!region.lines.empty()) {
    lines = known_lines(region.lines);
  } else {
    std::string text;
    for (const Block& block : region_blocks(page, index, options)) {
      if (!text.empty()) text += '\n';
      text += block_plain(block);
    }
    lines =
        region.label == RegionLabel::vertical_text ? spread_down(text, region.box) : spread(text, region.box);
  }
  for (PlacedText& line : lines) {
    line.box = on_page(line.box, page);
    for (PlacedText& word : line.words) word.box = on_page(word.box, page);
  }
  return lines;
}

Box on_page(const Box& box, const DocumentPage& page) {
  const auto inside = [](double value, double most) { return value >= 0 ? std::min(value, most) : 0; };
  return {inside(box.x0, page.width), inside(box.y0, page.height), inside(box.x1, page.width),
          inside(box.y1, page.height)};
}

double word_confidence(const Region& region) {
  if (region.source == TextSource::text_layer) return 1;
  return std::exp(std::min(region.mean_logprob, 0.0));
}

}  // namespace glmocr::formats
