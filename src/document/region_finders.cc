// SPDX-License-Identifier: Apache-2.0
#include "glmocr/document.h"
#include "regions/split_page.h"

namespace glmocr {

RegionFinder classical_regions() {
  return [](const Image& page) { return split_page(page); };
}

RegionFinder whole_page_region() {
  return [](const Image& page) {
    Region region;
    region.box = {0, 0, static_cast<double>(page.width), static_cast<double>(page.height)};
    return std::vector<Region>{region};
  };
}

}  // namespace glmocr
