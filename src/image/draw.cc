// SPDX-License-Identifier: Apache-2.0
#include "image/draw.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <string>

#include "base/error.h"

namespace glmocr {
namespace {

constexpr int kGlyphWidth = 5, kGlyphHeight = 9, kAdvance = 6;

// Rows from the top, the highest of five bits on the left; the last two rows are below the line.
struct Glyph {
  char letter;
  std::array<std::uint8_t, kGlyphHeight> rows;
};
// clang-format off
constexpr Glyph kGlyphs[] = {
    {'a', {0b00000, 0b00000, 0b01110, 0b00001, 0b01111, 0b10001, 0b01111, 0b00000, 0b00000}},
    {'b', {0b10000, 0b10000, 0b10110, 0b11001, 0b10001, 0b11001, 0b10110, 0b00000, 0b00000}},
    {'c', {0b00000, 0b00000, 0b01110, 0b10001, 0b10000, 0b10001, 0b01110, 0b00000, 0b00000}},
    {'d', {0b00001, 0b00001, 0b01101, 0b10011, 0b10001, 0b10011, 0b01101, 0b00000, 0b00000}},
    {'e', {0b00000, 0b00000, 0b01110, 0b10001, 0b11111, 0b10000, 0b01110, 0b00000, 0b00000}},
    {'f', {0b00110, 0b01000, 0b11100, 0b01000, 0b01000, 0b01000, 0b01000, 0b00000, 0b00000}},
    {'g', {0b00000, 0b00000, 0b01101, 0b10011, 0b10001, 0b10011, 0b01101, 0b00001, 0b01110}},
    {'h', {0b10000, 0b10000, 0b10110, 0b11001, 0b10001, 0b10001, 0b10001, 0b00000, 0b00000}},
    {'i', {0b00100, 0b00000, 0b01100, 0b00100, 0b00100, 0b00100, 0b01110, 0b00000, 0b00000}},
    {'j', {0b00010, 0b00000, 0b00110, 0b00010, 0b00010, 0b00010, 0b00010, 0b00010, 0b01100}},
    {'k', {0b10000, 0b10000, 0b10010, 0b10100, 0b11000, 0b10100, 0b10010, 0b00000, 0b00000}},
    {'l', {0b01100, 0b00100, 0b00100, 0b00100, 0b00100, 0b00100, 0b01110, 0b00000, 0b00000}},
    {'m', {0b00000, 0b00000, 0b11010, 0b10101, 0b10101, 0b10101, 0b10101, 0b00000, 0b00000}},
    {'n', {0b00000, 0b00000, 0b10110, 0b11001, 0b10001, 0b10001, 0b10001, 0b00000, 0b00000}},
    {'o', {0b00000, 0b00000, 0b01110, 0b10001, 0b10001, 0b10001, 0b01110, 0b00000, 0b00000}},
    {'p', {0b00000, 0b00000, 0b10110, 0b11001, 0b10001, 0b11001, 0b10110, 0b10000, 0b10000}},
    {'q', {0b00000, 0b00000, 0b01101, 0b10011, 0b10001, 0b10011, 0b01101, 0b00001, 0b00001}},
    {'r', {0b00000, 0b00000, 0b10110, 0b11001, 0b10000, 0b10000, 0b10000, 0b00000, 0b00000}},
    {'s', {0b00000, 0b00000, 0b01111, 0b10000, 0b01110, 0b00001, 0b11110, 0b00000, 0b00000}},
    {'t', {0b01000, 0b01000, 0b11100, 0b01000, 0b01000, 0b01001, 0b00110, 0b00000, 0b00000}},
    {'u', {0b00000, 0b00000, 0b10001, 0b10001, 0b10001, 0b10011, 0b01101, 0b00000, 0b00000}},
    {'v', {0b00000, 0b00000, 0b10001, 0b10001, 0b10001, 0b01010, 0b00100, 0b00000, 0b00000}},
    {'w', {0b00000, 0b00000, 0b10001, 0b10101, 0b10101, 0b10101, 0b01010, 0b00000, 0b00000}},
    {'x', {0b00000, 0b00000, 0b10001, 0b01010, 0b00100, 0b01010, 0b10001, 0b00000, 0b00000}},
    {'y', {0b00000, 0b00000, 0b10001, 0b10001, 0b10001, 0b10011, 0b01101, 0b00001, 0b01110}},
    {'z', {0b00000, 0b00000, 0b11111, 0b00010, 0b00100, 0b01000, 0b11111, 0b00000, 0b00000}},
    {'0', {0b01110, 0b10001, 0b10011, 0b10101, 0b11001, 0b10001, 0b01110, 0b00000, 0b00000}},
    {'1', {0b00100, 0b01100, 0b00100, 0b00100, 0b00100, 0b00100, 0b01110, 0b00000, 0b00000}},
    {'2', {0b01110, 0b10001, 0b00001, 0b00110, 0b01000, 0b10000, 0b11111, 0b00000, 0b00000}},
    {'3', {0b01110, 0b10001, 0b00001, 0b00110, 0b00001, 0b10001, 0b01110, 0b00000, 0b00000}},
    {'4', {0b00010, 0b00110, 0b01010, 0b10010, 0b11111, 0b00010, 0b00010, 0b00000, 0b00000}},
    {'5', {0b11111, 0b10000, 0b11110, 0b00001, 0b00001, 0b10001, 0b01110, 0b00000, 0b00000}},
    {'6', {0b01110, 0b10000, 0b10000, 0b11110, 0b10001, 0b10001, 0b01110, 0b00000, 0b00000}},
    {'7', {0b11111, 0b00001, 0b00010, 0b00010, 0b00100, 0b00100, 0b00100, 0b00000, 0b00000}},
    {'8', {0b01110, 0b10001, 0b10001, 0b01110, 0b10001, 0b10001, 0b01110, 0b00000, 0b00000}},
    {'9', {0b01110, 0b10001, 0b10001, 0b01111, 0b00001, 0b00001, 0b01110, 0b00000, 0b00000}},
    {'_', {0b00000, 0b00000, 0b00000, 0b00000, 0b00000, 0b00000, 0b11111, 0b00000, 0b00000}},
    {'.', {0b00000, 0b00000, 0b00000, 0b00000, 0b00000, 0b01100, 0b01100, 0b00000, 0b00000}},
    {',', {0b00000, 0b00000, 0b00000, 0b00000, 0b00000, 0b01100, 0b01100, 0b00100, 0b01000}},
    {':', {0b00000, 0b00000, 0b01100, 0b01100, 0b00000, 0b01100, 0b01100, 0b00000, 0b00000}},
    {'-', {0b00000, 0b00000, 0b00000, 0b00000, 0b01110, 0b00000, 0b00000, 0b00000, 0b00000}},
    {'+', {0b00000, 0b00000, 0b00100, 0b00100, 0b11111, 0b00100, 0b00100, 0b00000, 0b00000}},
    {'/', {0b00001, 0b00001, 0b00010, 0b00100, 0b01000, 0b10000, 0b10000, 0b00000, 0b00000}},
    {'(', {0b00010, 0b00100, 0b01000, 0b01000, 0b01000, 0b00100, 0b00010, 0b00000, 0b00000}},
    {')', {0b01000, 0b00100, 0b00010, 0b00010, 0b00010, 0b00100, 0b01000, 0b00000, 0b00000}},
    {'%', {0b11001, 0b11001, 0b00010, 0b00100, 0b01000, 0b10011, 0b10011, 0b00000, 0b00000}},
    {'#', {0b01010, 0b01010, 0b11111, 0b01010, 0b11111, 0b01010, 0b01010, 0b00000, 0b00000}},
};
// clang-format on
constexpr Glyph kUnknown{'?', {0b11111, 0b10001, 0b10001, 0b10001, 0b10001, 0b10001, 0b11111, 0, 0}};

const Glyph* glyph_of(char letter) {
  if (letter == ' ') return nullptr;
  if ('A' <= letter && letter <= 'Z') letter = static_cast<char>(letter - 'A' + 'a');
  const auto* found = std::find_if(std::begin(kGlyphs), std::end(kGlyphs),
                                   [&](const Glyph& g) { return g.letter == letter; });
  return found == std::end(kGlyphs) ? &kUnknown : found;
}

// The pixels [x0, x1) × [y0, y1) of the picture that lie in a rectangle.
struct Pixels {
  int x0, y0, x1, y1;
};
Pixels pixels_of(const Image& image, const Box& box) {
  const auto within = [](double v, int most) {
    return std::isnan(v) ? 0 : static_cast<int>(std::lround(std::clamp(v, 0.0, static_cast<double>(most))));
  };
  return {within(box.x0, image.width), within(box.y0, image.height), within(box.x1, image.width),
          within(box.y1, image.height)};
}

std::uint8_t mixed(std::uint8_t below, std::uint8_t colour, double opacity) {
  return static_cast<std::uint8_t>(std::lround(below + (colour - below) * opacity));
}

void draw_line(Image& image, const Point& from, const Point& to, Colour colour, int width) {
  const double length = std::max(std::abs(to.x - from.x), std::abs(to.y - from.y));
  if (!std::isfinite(length)) return;
  // Points far outside would take for ever.
  const int steps = static_cast<int>(std::min(length, 1e5)) + 1;
  for (int i = 0; i <= steps; ++i) {
    const double share = static_cast<double>(i) / steps, half = width / 2.0;
    const double x = from.x + (to.x - from.x) * share, y = from.y + (to.y - from.y) * share;
    fill_box(image, {x - half, y - half, x + half, y + half}, colour);
  }
}

// Text regions blue and green, titles red, tables and formulas violet and orange, pictures brown, margins grey.
Colour colour_of(RegionLabel label) {
  switch (label) {
    case RegionLabel::doc_title:
    case RegionLabel::paragraph_title:
      return {200, 30, 30};
    case RegionLabel::table:
      return {130, 40, 180};
    case RegionLabel::display_formula:
    case RegionLabel::inline_formula:
    case RegionLabel::formula_number:
      return {215, 110, 0};
    case RegionLabel::image:
    case RegionLabel::chart:
    case RegionLabel::seal:
    case RegionLabel::header_image:
    case RegionLabel::footer_image:
      return {140, 90, 40};
    case RegionLabel::header:
    case RegionLabel::footer:
    case RegionLabel::number:
    case RegionLabel::footnote:
    case RegionLabel::vision_footnote:
    case RegionLabel::aside_text:
      return {90, 90, 90};
    case RegionLabel::algorithm:
    case RegionLabel::figure_title:
    case RegionLabel::abstract:
    case RegionLabel::reference:
    case RegionLabel::reference_content:
      return {0, 130, 90};
    default:
      return {20, 80, 200};
  }
}

bool is_finite(const Box& box) {
  return std::isfinite(box.x0) && std::isfinite(box.y0) && std::isfinite(box.x1) && std::isfinite(box.y1);
}

void draw_label(Image& page, const Box& box, const std::string& text, Colour colour, int scale) {
  const int width = text_width(text, scale) + 2 * scale, height = text_height(scale) + scale;
  const double x = std::clamp(box.x0, 0.0, std::max(0.0, static_cast<double>(page.width - width)));
  const double above = box.y0 - height;
  const double y = std::clamp(above, 0.0, std::max(0.0, static_cast<double>(page.height - height)));
  fill_box(page, {x, y, x + width, y + height}, colour);
  draw_text(page, static_cast<int>(x) + scale, static_cast<int>(y) + scale, text, {255, 255, 255}, scale);
}

}  // namespace

void fill_box(Image& image, const Box& box, Colour colour, double opacity) {
  const Pixels at = pixels_of(image, box);
  for (int y = at.y0; y < at.y1; ++y) {
    std::uint8_t* pixel = &image.rgb[(std::int64_t{y} * image.width + at.x0) * 3];
    for (int x = at.x0; x < at.x1; ++x, pixel += 3) {
      pixel[0] = mixed(pixel[0], colour.red, opacity);
      pixel[1] = mixed(pixel[1], colour.green, opacity);
      pixel[2] = mixed(pixel[2], colour.blue, opacity);
    }
  }
}

void draw_box(Image& image, const Box& box, Colour colour, int width) {
  fill_box(image, {box.x0, box.y0, box.x1, std::min(box.y0 + width, box.y1)}, colour);
  fill_box(image, {box.x0, std::max(box.y1 - width, box.y0), box.x1, box.y1}, colour);
  fill_box(image, {box.x0, box.y0, std::min(box.x0 + width, box.x1), box.y1}, colour);
  fill_box(image, {std::max(box.x1 - width, box.x0), box.y0, box.x1, box.y1}, colour);
}

void draw_polygon(Image& image, std::span<const Point> points, Colour colour, int width) {
  for (std::size_t i = 0; i < points.size(); ++i) {
    draw_line(image, points[i], points[(i + 1) % points.size()], colour, width);
  }
}

int text_width(std::string_view text, int scale) {
  return text.empty() ? 0 : (static_cast<int>(text.size()) * kAdvance - 1) * scale;
}

int text_height(int scale) { return kGlyphHeight * scale; }

void draw_text(Image& image, int x, int y, std::string_view text, Colour colour, int scale) {
  for (const char letter : text) {
    if (const Glyph* glyph = glyph_of(letter)) {
      for (int row = 0; row < kGlyphHeight; ++row) {
        for (int column = 0; column < kGlyphWidth; ++column) {
          if ((glyph->rows[row] >> (kGlyphWidth - 1 - column) & 1) == 0) continue;
          const double left = x + column * scale, top = y + row * scale;
          fill_box(image, {left, top, left + scale, top + scale}, colour);
        }
      }
    }
    x += kAdvance * scale;
  }
}

void draw_regions(Image& page, std::span<const Region> regions) {
  constexpr double kTint = 0.12;
  constexpr int kPageOfScaleOne = 1000;  // pixels of the longer side
  const int scale = std::max(1, std::max(page.width, page.height) / kPageOfScaleOne);
  for (const Region& region : regions) {
    if (is_finite(region.box)) fill_box(page, region.box, colour_of(region.label), kTint);
  }
  for (const Region& region : regions) {
    if (!is_finite(region.box)) continue;
    draw_box(page, region.box, colour_of(region.label), scale);
    if (region.polygon.size() > 4) draw_polygon(page, region.polygon, colour_of(region.label), 1);
  }
  for (std::size_t i = 0; i < regions.size(); ++i) {
    if (!is_finite(regions[i].box)) continue;
    draw_label(page, regions[i].box, cat(i + 1, " ", to_string(regions[i].label)),
               colour_of(regions[i].label), scale);
  }
}

}  // namespace glmocr
