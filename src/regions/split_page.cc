// SPDX-License-Identifier: Apache-2.0
#include "regions/split_page.h"

#include "regions/page_analysis.h"
#include "regions/page_regions.h"

namespace glmocr {
namespace layout {

namespace {

constexpr double kMargin = 0.2;  // of the height of letters, around boxes

}  // namespace

Box page_box(const Rect& rect, const PageAnalysis& analysis, const Image& page, int margin) {
  const auto edge = [&](int at, int by, int most) {
    return static_cast<double>(std::clamp<std::int64_t>(std::int64_t{at} * analysis.factor + by, 0, most));
  };
  return {edge(rect.x0, -margin, page.width), edge(rect.y0, -margin, page.height),
          edge(rect.x1, margin, page.width), edge(rect.y1, margin, page.height)};
}

Region region_of(const Block& block, const PageAnalysis& analysis, const Image& page,
                 const SplitOptions& options) {
  const double letters = analysis.measures.letter_height * double(analysis.factor);
  Region region;
  region.label = block.label;
  region.task = region_task(block.label);
  region.box =
      page_box(block.box, analysis, page, std::max(options.margin, static_cast<int>(kMargin * letters)));
  return region;
}

}  // namespace layout

std::vector<Region> split_page(const Image& page, const SplitOptions& options) {
  const layout::PageAnalysis analysis = layout::analyse_page(page, options);
  std::vector<Region> regions;
  for (const layout::Block& block : analysis.blocks)
    regions.push_back(layout::region_of(block, analysis, page, options));
  return regions;
}

}  // namespace glmocr
