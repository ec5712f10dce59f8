// SPDX-License-Identifier: Apache-2.0
#include "document/layer_regions.h"

#include <gmock/gmock.h>

namespace glmocr {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

PlacedText line_at(const std::string& text, Box box) { return {box, text, {{box, text, {}}}}; }

Region region_at(Box box, RegionLabel label = RegionLabel::text) {
  Region region;
  region.label = label;
  region.task = region_task(label);
  region.box = box;
  return region;
}

Image white(int width = 400, int height = 400) {
  return {width, height, std::vector<std::uint8_t>(static_cast<std::size_t>(width) * height * 3, 255)};
}

void blacken(Image& image, int x0, int y0, int x1, int y1) {
  for (int y = y0; y < y1; ++y) {
    for (int x = 3 * x0; x < 3 * x1; ++x) image.rgb[static_cast<std::size_t>(y) * image.width * 3 + x] = 0;
  }
}

TextLayer layer_of(std::vector<PlacedText> lines) {
  return {.width = 400, .height = 400, .lines = std::move(lines), .quality = {}};
}

// What a region got, "-" for nothing.
std::vector<std::string> contents(const std::vector<Region>& regions) {
  std::vector<std::string> list;
  for (const Region& region : regions) {
    list.push_back(region.content.value_or("-"));
    EXPECT_EQ(region.source, region.content ? TextSource::text_layer : TextSource::picture);
    EXPECT_EQ(region.lines.empty(), !region.content);
  }
  return list;
}

std::vector<std::string> taken(std::vector<Region> regions, const std::vector<PlacedText>& lines,
                               TextLayerUse use = TextLayerUse::only, const Image& image = white()) {
  take_text_layer(regions, layer_of(lines), image, use);
  return contents(regions);
}

TEST(LayerRegions, ALineGoesToTheSmallestRegionThatHoldsItsMiddle) {
  const std::vector<Region> regions = {region_at({0, 0, 400, 400}), region_at({0, 0, 200, 100}),
                                       region_at({0, 0, 300, 300})};
  EXPECT_THAT(taken(regions, {line_at("wide", {10, 10, 480, 30}), line_at("middle", {10, 200, 100, 220}),
                              line_at("outer", {10, 350, 100, 370})}),
              ElementsAre("outer", "-", "wide middle"));
}

TEST(LayerRegions, LinesOfAParagraphAreJoinedThoseOfATableAreNot) {
  const std::vector<PlacedText> lines = {line_at("exam-", {10, 10, 90, 30}),
                                         line_at("ple of", {10, 40, 90, 60}),
                                         line_at("text", {100, 42, 190, 62})};
  EXPECT_THAT(taken({region_at({0, 0, 200, 100})}, lines), ElementsAre("example of text"));
  EXPECT_THAT(taken({region_at({0, 0, 200, 100}, RegionLabel::table)}, lines),
              ElementsAre("exam-\nple of\ttext"));
  EXPECT_THAT(taken({region_at({0, 0, 200, 100}, RegionLabel::algorithm)}, lines),
              ElementsAre("exam-\nple of text"));
}

TEST(LayerRegions, LinesOfNoRegionBecomeRegionsInTheOrderOfTheFile) {
  const std::vector<Region> regions = {region_at({0, 100, 200, 150}), region_at({0, 200, 200, 250})};
  const std::vector<PlacedText> lines = {
      line_at("before", {10, 10, 90, 30}),    line_at("first", {10, 110, 90, 130}),
      line_at("between", {10, 160, 90, 170}), line_at("them", {100, 175, 150, 190}),
      line_at("second", {10, 210, 90, 230}),  line_at("after", {10, 300, 90, 320})};
  std::vector<Region> only = regions;
  take_text_layer(only, layer_of(lines), white(), TextLayerUse::only);
  EXPECT_THAT(contents(only), ElementsAre("before", "first", "between them", "second", "after"));
  EXPECT_EQ(only[2].box.x0, 10);
  EXPECT_EQ(only[2].box.y0, 160);
  EXPECT_EQ(only[2].box.x1, 150);
  EXPECT_EQ(only[2].box.y1, 190);
  EXPECT_THAT(taken(regions, lines, TextLayerUse::automatic), ElementsAre("first", "second"))
      << "what is in no region is not there";
  EXPECT_THAT(taken({}, lines), ElementsAre("before first between them second after"));
}

TEST(LayerRegions, PicturesTakeNoText) {
  EXPECT_THAT(taken({region_at({0, 0, 200, 100}, RegionLabel::chart)}, {line_at("axis", {10, 10, 90, 30})}),
              ElementsAre("-"));
}

// Formulas and tables are read, text only where its ink is that of the layer.
TEST(LayerRegions, AutomaticTakesRunningTextAlone) {
  Image image = white();
  blacken(image, 10, 12, 90, 28);      // under the line
  blacken(image, 100, 210, 190, 290);  // more than the line
  const std::vector<PlacedText> lines = {
      line_at("text", {10, 10, 90, 30}), line_at("few", {10, 210, 90, 230}),
      line_at("1 2", {210, 10, 290, 30}), line_at("x+y", {210, 210, 290, 230})};
  const std::vector<Region> regions = {region_at({0, 0, 200, 100}), region_at({0, 200, 200, 300}),
                                       region_at({200, 0, 400, 100}, RegionLabel::table),
                                       region_at({200, 200, 400, 300}, RegionLabel::display_formula)};
  EXPECT_THAT(taken(regions, lines, TextLayerUse::automatic, image), ElementsAre("text", "-", "-", "-"));
  EXPECT_THAT(taken(regions, lines, TextLayerUse::only, image), ElementsAre("text", "few", "1 2", "x+y"));
}

TEST(LayerRegions, WithoutTextNothingChanges) {
  EXPECT_THAT(taken({region_at({0, 0, 200, 100})}, {}), ElementsAre("-"));
  EXPECT_THAT(taken({}, {}), IsEmpty());
}

}  // namespace
}  // namespace glmocr
