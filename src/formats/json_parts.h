// SPDX-License-Identifier: Apache-2.0
// What the JSON of pages and the records of pages have in common. Included by few .cc files.
#pragma once
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "base/utf8.h"
#include "glmocr/region.h"

namespace glmocr::formats {

using OrderedJson = nlohmann::ordered_json;

// [x0, y0, x1, y1]
inline OrderedJson box_json(const Box& box) { return OrderedJson::array({box.x0, box.y0, box.x1, box.y1}); }

inline OrderedJson error_json(const Error& error) {
  return {{"code", to_string(error.code())}, {"message", to_valid_utf8(error.what())}};
}

// [{"box": …, "text": …, "words": …}]; words where there are any.
inline OrderedJson lines_json(const std::vector<PlacedText>& lines) {
  OrderedJson list = OrderedJson::array();
  for (const PlacedText& line : lines) {
    OrderedJson json = {{"box", box_json(line.box)}, {"text", to_valid_utf8(line.text)}};
    if (!line.words.empty()) {
      OrderedJson words = OrderedJson::array();
      for (const PlacedText& word : line.words) {
        words.push_back({{"box", box_json(word.box)}, {"text", to_valid_utf8(word.text)}});
      }
      json["words"] = std::move(words);
    }
    list.push_back(std::move(json));
  }
  return list;
}

}  // namespace glmocr::formats
