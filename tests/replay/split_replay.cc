// SPDX-License-Identifier: Apache-2.0
// The regions of pictures, found without a detector, as JSON lines:
//
//   split_replay PICTURE...
//
// Each line holds the file, its size, the regions in reading order, the angle of the page, and the milliseconds that
// finding each took.
#include <chrono>
#include <iostream>
#include <nlohmann/json.hpp>

#include "glmocr/error.h"
#include "glmocr/image.h"
#include "regions/orientation.h"
#include "regions/split_page.h"

namespace glmocr {
namespace {

using Json = nlohmann::ordered_json;
using Clock = std::chrono::steady_clock;

double milliseconds_since(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

Json replay(const std::string& file) {
  const Image page = load_image(file);
  const Clock::time_point start = Clock::now();
  const std::vector<Region> regions = split_page(page);
  Json line{{"file", file},
            {"width", page.width},
            {"height", page.height},
            {"milliseconds", milliseconds_since(start)}};
  const Clock::time_point before = Clock::now();
  const PageAngle angle = find_angle(page);
  line["angle"] = {{"rotation", angle.rotation},
                   {"skew", angle.skew},
                   {"confidence", angle.confidence},
                   {"milliseconds", milliseconds_since(before)}};
  line["regions"] = Json::array();
  for (const Region& region : regions) {
    const Box& box = region.box;
    line["regions"].push_back(
        {{"label", to_string(region.label)}, {"box", {box.x0, box.y0, box.x1, box.y1}}});
  }
  return line;
}

}  // namespace
}  // namespace glmocr

int main(int count, char** arguments) {
  try {
    for (int i = 1; i < count; ++i) std::cout << glmocr::replay(arguments[i]).dump() << "\n";
    return 0;
  } catch (const glmocr::Error& error) {
    std::cerr << "split_replay: " << error.what() << "\n";
    return 1;
  }
}
