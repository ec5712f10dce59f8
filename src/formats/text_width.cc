// SPDX-License-Identifier: Apache-2.0
#include "formats/text_width.h"

#include <algorithm>
#include <cmath>

#include "formats/unicode_classes.h"

namespace glmocr::formats {
namespace {

constexpr double kLineShape = 2.6;  // height of a line, with the blank above, in letters of medium width
constexpr double kMostLines = 500;

double letter_width(char32_t c) {
  if (is_wide(c)) return 2;
  if (std::u32string_view(U"iljtfrI.,:;'|!()[] -").find(c) != std::u32string_view::npos) return 0.6;
  if (c == U'm' || c == U'w' || is_upper(c)) return 1.35;
  return 1;
}

}  // namespace

double text_width(TextView text) {
  double width = 0;
  for (const char32_t c : text) width += letter_width(c);
  return width;
}

int estimated_lines(std::string_view text, const Box& box) {
  const double width = box.x1 - box.x0, height = box.y1 - box.y0;
  if (!(width > 0) || !(height > 0)) return 1;
  // n lines of w letters fill the box where n w is the text's length, and width / w times the shape is height / n.
  const double lines = std::sqrt(text_width(to_text(text)) * height / width / kLineShape);
  return static_cast<int>(std::clamp(std::round(lines), 1.0, kMostLines));
}

}  // namespace glmocr::formats
