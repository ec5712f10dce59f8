// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "glmocr/error.h"
#include "glmocr/export.h"
#include "glmocr/types.h"

namespace glmocr {

// A rectangle in pixels of the page, from its upper left corner; x1 and y1 are the first column and row outside.
struct Box {
  double x0 = 0, y0 = 0, x1 = 0, y1 = 0;
};

struct Point {
  double x = 0, y = 0;
};

// The classes of PP-DocLayoutV3; the values are its ids.
enum class RegionLabel : std::uint8_t {
  abstract,
  algorithm,
  aside_text,
  chart,
  content,
  display_formula,
  doc_title,
  figure_title,
  footer,
  footer_image,
  footnote,
  formula_number,
  header,
  header_image,
  image,
  inline_formula,
  number,
  paragraph_title,
  reference,
  reference_content,
  seal,
  table,
  text,
  vertical_text,
  vision_footnote,
};

inline constexpr int kRegionLabels = 25;

// "doc_title" and so on.
GLMOCR_API std::string_view to_string(RegionLabel label);

// The label of that name; nullopt: there is none.
GLMOCR_API std::optional<RegionLabel> region_label(std::string_view name);

// What is done with a region.
enum class RegionTask : std::uint8_t {
  text,  // this and the next two: read with the prompt of that task
  table,
  formula,
  picture,  // kept as a picture, not read
  none,     // dropped by the official SDK
};

// The table of the official SDK (label_task_mapping of its packaged configuration).
GLMOCR_API RegionTask region_task(RegionLabel label);

// Where the text of a region comes from.
enum class TextSource : std::uint8_t { picture, text_layer };

// A word or a line at its place.
struct PlacedText {
  Box box;
  std::string text;
  std::vector<PlacedText> words;  // of a line, where they are known
};

// A part of a page, and what was read from it.
struct Region {
  RegionLabel label = RegionLabel::text;
  float score = 1;  // of the detector, 0 … 1
  Box box;
  std::vector<Point> polygon;  // empty: the box
  RegionTask task = RegionTask::text;

  std::optional<std::string> content;  // as the model gave it; nullopt: a picture, or it could not be read
  TextSource source = TextSource::picture;
  std::vector<PlacedText> lines;  // in reading order, where they are known
  double mean_logprob = 0;        // of the tokens of the content
  FinishReason finish_reason = FinishReason::stop;
  std::optional<Error> error;  // why there is no content
};

// One page of a document. Its regions stand in reading order.
struct DocumentPage {
  std::string file;           // as it was given; "-" is standard input
  std::int64_t number = 0;    // from 1; 0 where the input is one picture, or could not be opened
  int width = 0, height = 0;  // in pixels, after it was turned by `rotation`
  int rotation = 0;  // clockwise, 0, 90, 180 or 270 degrees: how the picture was turned before it was read
  double skew = 0;   // degrees, clockwise: turned back as well
  std::vector<Region> regions;
  std::vector<std::string> warnings;
  std::optional<Error> error;
};

}  // namespace glmocr
