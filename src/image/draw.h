// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <span>
#include <string_view>

#include "glmocr/image.h"
#include "glmocr/region.h"

// Simple drawing into RGB pictures. What is outside of a picture is left out.
namespace glmocr {

struct Colour {
  std::uint8_t red = 0, green = 0, blue = 0;
};

// Fills the pixels of a box; `opacity` 0 … 1 mixes the colour with what is there.
void fill_box(Image& image, const Box& box, Colour colour, double opacity = 1);

// The edges of a box, `width` pixels wide, inside of it.
void draw_box(Image& image, const Box& box, Colour colour, int width);

// A closed line through points.
void draw_polygon(Image& image, std::span<const Point> points, Colour colour, int width);

// The size of a text in small fixed letters of 5×9 pixels, each enlarged to `scale`² pixels. There are small letters,
// digits and some marks; capital letters look like small ones, others like boxes.
int text_width(std::string_view text, int scale);
int text_height(int scale);

// Draws a text with its upper left corner at (x, y).
void draw_text(Image& image, int x, int y, std::string_view text, Colour colour, int scale);

// Draws regions over a page: boxes and polygons in colours by label, the place in the order and the label at their
// upper left corners.
void draw_regions(Image& page, std::span<const Region> regions);

}  // namespace glmocr
