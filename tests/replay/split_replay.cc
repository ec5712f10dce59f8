// SPDX-License-Identifier: Apache-2.0
// The regions of pictures, found without a detector, as JSON lines:
//
//   split_replay PICTURE...
//
// Each line holds the file, its size, the regions in reading order, the angle of the page, and the milliseconds of
// processor time that finding each took.
#include <ctime>
#include <iostream>
#include <nlohmann/json.hpp>

#include "glmocr/error.h"
#include "glmocr/image.h"
#include "regions/orientation.h"
#include "regions/split_page.h"

namespace glmocr {
namespace {

using Json = nlohmann::ordered_json;

// Of the processor, so that other programs do not count.
double milliseconds_since(std::clock_t start) {
  return 1000.0 * double(std::clock() - start) / CLOCKS_PER_SEC;
}

Json replay(const std::string& file) {
  const Image page = load_image(file);
  const std::clock_t start = std::clock();
  const std::vector<Region> regions = split_page(page);
  Json line{{"file", file},
            {"width", page.width},
            {"height", page.height},
            {"milliseconds", milliseconds_since(start)}};
  const std::clock_t before = std::clock();
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
