// SPDX-License-Identifier: Apache-2.0
// Hand-made cases of every rule. The rules of the SDK are compared at large by tools/compare_filter.py.
#include "regions/filter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "support/expect_error.h"

namespace glmocr {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using enum RegionLabel;

constexpr int kWidth = 1000, kHeight = 1400;

Detection detection(RegionLabel label, float score, std::array<float, 4> box, int order = 0) {
  Detection found;
  found.label = label;
  found.score = score;
  found.box = box;
  found.order = order;
  return found;
}

FilterOptions as_sdk() {
  FilterOptions options;
  options.compat = true;
  return options;
}

std::vector<RegionLabel> labels(const std::vector<Detection>& detections, const FilterOptions& options = {}) {
  std::vector<RegionLabel> found;
  for (const Region& region : filter_regions(detections, kWidth, kHeight, options))
    found.push_back(region.label);
  return found;
}

TEST(Filter, ThresholdsMayDependOnTheClass) {
  const std::vector<Detection> detections{detection(text, 0.3f, {0, 0, 100, 100}, 0),
                                          detection(text, 0.29f, {0, 200, 100, 300}, 1),
                                          detection(table, 0.45f, {0, 400, 100, 500}, 2)};
  EXPECT_THAT(labels(detections), ElementsAre(text, table));
  FilterOptions options;
  options.class_thresholds[static_cast<std::size_t>(table)] = 0.5f;
  options.class_thresholds[static_cast<std::size_t>(text)] = 0.1f;
  EXPECT_THAT(labels(detections, options), ElementsAre(text, text));
}

TEST(Filter, DoublesOfOneClassOverlapByThreeFifths) {
  // 75 rows of 125, both ends counted, and 74 of 126.
  const std::vector<Detection> doubles{detection(text, 0.8f, {0, 0, 99, 99}),
                                       detection(text, 0.9f, {0, 25, 99, 124}, 1)};
  const std::vector<Detection> apart{detection(text, 0.8f, {0, 0, 99, 99}),
                                     detection(text, 0.9f, {0, 26, 99, 125}, 1)};
  EXPECT_THAT(labels(doubles), SizeIs(1));
  EXPECT_THAT(labels(apart), SizeIs(2));
  FilterOptions options;
  options.nms = false;
  options.containment.fill(Containment::keep);
  EXPECT_THAT(labels(doubles, options), SizeIs(2));
}

TEST(Filter, OfEqualScoresTheLaterDoubleStays) {
  const std::vector<Region> regions =
      filter_regions(std::vector<Detection>{detection(text, 0.5f, {0, 0, 100, 100}),
                                            detection(text, 0.5f, {0, 4, 100, 104})},
                     kWidth, kHeight);
  ASSERT_THAT(regions, SizeIs(1));
  EXPECT_EQ(regions[0].box.y0, 4);
}

TEST(Filter, PicturesOfThePageAreDropped) {
  const Detection page = detection(image, 0.9f, {-5, -5, 1000, 1400}),
                  other = detection(text, 0.9f, {10, 10, 90, 50}, 1);
  EXPECT_THAT(labels({page, other}, as_sdk()), ElementsAre(text));
  EXPECT_THAT(labels({page}), ElementsAre(image));
  EXPECT_THAT(labels({page, page}), ElementsAre(image));              // doubles first: then it is alone
  const Detection most = detection(image, 0.9f, {0, 0, 1000, 1300});  // 0.929 of a high page
  EXPECT_THAT(labels({most, detection(seal, 0.9f, {10, 10, 90, 50}, 1)}), ElementsAre(image, seal));
  const Detection wide = detection(image, 0.9f, {0, 0, 1000, 830});
  const std::vector<Detection> on_wide{wide, detection(seal, 0.9f, {10, 10, 90, 50}, 1)};
  EXPECT_THAT(filter_regions(on_wide, 1000, 1000), SizeIs(2));
  EXPECT_THAT(filter_regions(on_wide, 1001, 1000), SizeIs(1));
}

TEST(Filter, WhatLiesInAnotherRegionIsRemovedUnlessAPicture) {
  for (const bool compat : {false, true}) {
    FilterOptions options;
    options.compat = compat;
    const Detection outer = detection(table, 0.5f, {0, 0, 500, 500});
    EXPECT_THAT(labels({outer, detection(text, 0.9f, {100, 100, 200, 200}, 1)}, options), ElementsAre(table));
    EXPECT_THAT(labels({outer, detection(text, 0.9f, {420, 100, 520, 200}, 1)}, options), ElementsAre(table));
    EXPECT_THAT(labels({outer, detection(text, 0.9f, {421, 100, 521, 200}, 1)}, options),
                ElementsAre(table, text));
    for (const RegionLabel kept : {image, seal, chart})
      EXPECT_THAT(labels({outer, detection(kept, 0.9f, {100, 100, 200, 200}, 1)}, options),
                  ElementsAre(table, kept));
    options.containment.fill(Containment::keep);
    EXPECT_THAT(labels({outer, detection(text, 0.9f, {100, 100, 200, 200}, 1)}, options),
                ElementsAre(table, text));
  }
}

TEST(Filter, OfNearTwinsTheBetterOneStays) {
  const std::vector<Detection> twins{detection(text, 0.7f, {0, 0, 500, 100}, 0),
                                     detection(paragraph_title, 0.8f, {0, 5, 500, 105}, 1)};
  EXPECT_THAT(labels(twins), ElementsAre(paragraph_title));
  EXPECT_THAT(labels(twins, as_sdk()), IsEmpty());
  const std::vector<Detection> exact{detection(text, 0.7f, {0, 0, 500, 100}, 0),
                                     detection(paragraph_title, 0.8f, {0, 0, 500, 100}, 1)};
  EXPECT_THAT(labels(exact, as_sdk()), ElementsAre(paragraph_title));
  const std::vector<Detection> picture{detection(image, 0.7f, {0, 0, 500, 100}, 0),
                                       detection(text, 0.8f, {0, 5, 500, 105}, 1)};
  EXPECT_THAT(labels(picture), ElementsAre(text));
  EXPECT_THAT(labels(picture, as_sdk()), ElementsAre(image));
}

TEST(Filter, WhatWasRemovedRemovesNothing) {
  // The second lies in the first, the third in the second but not in the first.
  const std::vector<Detection> chain{detection(text, 0.9f, {0, 0, 400, 100}, 0),
                                     detection(table, 0.8f, {90, 0, 450, 100}, 1),
                                     detection(text, 0.7f, {370, 0, 445, 100}, 2)};
  EXPECT_THAT(labels(chain), ElementsAre(text, text));
  EXPECT_THAT(labels(chain, as_sdk()), ElementsAre(text));
}

TEST(Filter, AReferenceLeavesItsContainerAlone) {
  const std::vector<Detection> detections{detection(text, 0.9f, {0, 0, 500, 500}, 0),
                                          detection(reference, 0.9f, {0, 100, 400, 200}, 1)};
  EXPECT_THAT(labels(detections), ElementsAre(text));
  EXPECT_THAT(labels(detections, as_sdk()), IsEmpty());
}

TEST(Filter, AReferenceWithoutEntriesIsRead) {
  const Detection list = detection(reference, 0.9f, {0, 0, 500, 500});
  const std::vector<Region> alone = filter_regions(std::vector<Detection>{list}, kWidth, kHeight);
  ASSERT_THAT(alone, SizeIs(1));
  EXPECT_EQ(alone[0].label, reference_content);
  EXPECT_EQ(alone[0].task, RegionTask::text);
  EXPECT_THAT(labels({list, detection(reference_content, 0.9f, {0, 0, 500, 90}, 1)}),
              ElementsAre(reference, reference_content));
  EXPECT_THAT(labels({list}, as_sdk()), IsEmpty());
}

TEST(Filter, WhatIsNotReadStaysForTheFormatter) {
  const std::vector<Detection> detections{detection(header, 0.9f, {0, 0, 500, 50}, 0),
                                          detection(number, 0.9f, {0, 900, 50, 950}, 1)};
  EXPECT_THAT(labels(detections), ElementsAre(header, number));
  EXPECT_THAT(labels(detections, as_sdk()), IsEmpty());
}

TEST(Filter, RegionsFollowTheirRank) {
  const std::vector<Detection> detections{detection(text, 0.9f, {0, 0, 500, 50}, 7),
                                          detection(table, 0.5f, {0, 300, 500, 350}, 2),
                                          detection(abstract, 0.7f, {0, 600, 500, 650}, 5)};
  EXPECT_THAT(labels(detections), ElementsAre(table, abstract, text));
}

TEST(Filter, BoxesAreUnclippedAndClamped) {
  FilterOptions options = as_sdk();
  options.unclip = FilterOptions::same_unclip({1.5, 2});
  const std::vector<Detection> detections{detection(text, 0.9f, {100, 100, 300, 200}, 0),
                                          detection(text, 0.9f, {900.5f, 1300.25f, 1100, 1500}, 1),
                                          detection(text, 0.9f, {1200, 0, 1300, 10}, 2)};
  const std::vector<Region> regions = filter_regions(detections, kWidth, kHeight, options);
  ASSERT_THAT(regions, SizeIs(2));
  EXPECT_EQ(regions[0].box.x0, 50);
  EXPECT_EQ(regions[0].box.y0, 50);
  EXPECT_EQ(regions[0].box.x1, 350);
  EXPECT_EQ(regions[0].box.y1, 250);
  EXPECT_EQ(regions[1].box.x0, 850);
  EXPECT_EQ(regions[1].box.x1, 1000);
  EXPECT_EQ(regions[1].box.y1, 1400);
}

TEST(Filter, PixelsAreRoundedOutwardsOrTruncated) {
  const std::vector<Detection> detections{detection(text, 0.9f, {10.75f, 20.25f, 99.25f, 50.5f})};
  const Box outward = filter_regions(detections, kWidth, kHeight)[0].box;
  EXPECT_EQ(outward.x0, 10);
  EXPECT_EQ(outward.x1, 100);
  EXPECT_EQ(outward.y1, 51);
  EXPECT_EQ(filter_regions(detections, kWidth, kHeight, as_sdk())[0].box.x1, 99);
}

TEST(Filter, PolygonsFollowTheirBoxOrTheFirstLikeIt) {
  Detection first = detection(image, 0.9f, {100, 100, 300, 200}, 0),
            second = detection(seal, 0.8f, {100.9f, 99.1f, 300.9f, 200.9f}, 1);
  first.polygon = {{100, 100}, {300, 100}, {200, 2000}};
  second.polygon = {{-5, 7}, {300, 100}, {100, 200}};
  const std::vector<Detection> detections{first, second};
  FilterOptions options = as_sdk();
  const std::vector<Region> sdk = filter_regions(detections, kWidth, kHeight, options);
  ASSERT_THAT(sdk, SizeIs(2));
  EXPECT_EQ(sdk[0].polygon[2].y, kHeight);
  EXPECT_EQ(sdk[1].polygon[0].x, 100);
  options.compat = false;
  options.containment.fill(Containment::keep);
  const std::vector<Region> own = filter_regions(detections, kWidth, kHeight, options);
  ASSERT_THAT(own, SizeIs(2));
  EXPECT_EQ(own[1].polygon[0].x, 0);
  EXPECT_EQ(own[1].polygon[0].y, 7);
}

TEST(Filter, WithoutAPolygonItIsTheClampedBox) {
  const std::vector<Detection> detections{detection(text, 0.9f, {-3, 20.25f, 99.25f, 50.5f})};
  const std::vector<Point> polygon = filter_regions(detections, kWidth, kHeight, as_sdk())[0].polygon;
  ASSERT_THAT(polygon, SizeIs(4));
  EXPECT_EQ(polygon[0].x, 0);
  EXPECT_EQ(polygon[2].x, 99.25);
  EXPECT_EQ(polygon[2].y, 50.5);
}

TEST(Filter, NumbersThatAreNoneAreLeftOut) {
  const float none = std::numeric_limits<float>::quiet_NaN(),
              endless = std::numeric_limits<float>::infinity();
  EXPECT_THAT(labels({detection(text, none, {0, 0, 10, 10}), detection(text, 1, {none, 0, 10, 10}),
                      detection(text, 1, {0, 0, endless, 10}), detection(text, 1, {10, 10, 0, 0})}),
              IsEmpty());
}

TEST(Filter, ThePageHasASize) {
  expect_error(ErrorCode::usage, {"0×5"}, [] { filter_regions({}, 0, 5); });
}

TEST(Thousandths, AreTruncated) {
  EXPECT_THAT(in_thousandths(Box{1, 1, 999, 1399}, 1000, 1400), ElementsAre(1, 0, 999, 999));
  EXPECT_THAT(in_thousandths(Box{290, 0, 1000, 1400}, 1000, 1400), ElementsAre(290, 0, 1000, 1000));
  EXPECT_THAT(in_thousandths(Point{17, 29}, 1654, 2339), ElementsAre(10, 12));
}

}  // namespace
}  // namespace glmocr
