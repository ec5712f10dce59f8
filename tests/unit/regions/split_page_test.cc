// SPDX-License-Identifier: Apache-2.0
#include "regions/split_page.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "unit/regions/drawn_page.h"

namespace glmocr {
namespace {

using ::testing::ElementsAre;
using ::testing::Gt;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr int kSize = 20;  // of letters

std::vector<RegionLabel> labels_of(const std::vector<Region>& regions) {
  std::vector<RegionLabel> labels;
  for (const Region& region : regions) labels.push_back(region.label);
  return labels;
}

void expect_inside(const Image& page, const std::vector<Region>& regions) {
  for (const Region& region : regions) {
    const Box& box = region.box;
    EXPECT_LE(0, box.x0);
    EXPECT_LT(box.x0, box.x1);
    EXPECT_LE(box.x1, page.width);
    EXPECT_LE(0, box.y0);
    EXPECT_LT(box.y0, box.y1);
    EXPECT_LE(box.y1, page.height);
    EXPECT_EQ(region.task, region_task(region.label));
  }
}

TEST(SplitPage, EmptyPagesHaveNoRegions) {
  for (const std::uint8_t paper : {0, 90, 128, 255}) {
    EXPECT_THAT(split_page(DrawnPage(800, 1100, paper).image), IsEmpty());
    EXPECT_THAT(split_page(DrawnPage(1, 1, paper).image), IsEmpty());
    EXPECT_THAT(split_page(DrawnPage(1, 3000, paper).image), IsEmpty());
    EXPECT_THAT(split_page(DrawnPage(3000, 1, paper).image), IsEmpty());
  }
}

TEST(SplitPage, GrainOfPaperIsNothing) {
  DrawnPage page(900, 1200);
  std::mt19937 random(1);
  std::normal_distribution<double> grain(225, 6);
  for (std::uint8_t& value : page.image.rgb)
    value = static_cast<std::uint8_t>(std::clamp(grain(random), 0.0, 255.0));
  EXPECT_THAT(split_page(page.image), IsEmpty());
}

TEST(SplitPage, AParagraphIsOneTightRegion) {
  DrawnPage page(1000, 1400);
  const Box text = page.paragraph(150, 300, 850, 6, kSize);
  const std::vector<Region> regions = split_page(page.image);
  ASSERT_THAT(labels_of(regions), ElementsAre(RegionLabel::text));
  EXPECT_TRUE(holds(regions[0].box, text, kSize));
  EXPECT_TRUE(holds({text.x0 - 8, text.y0 - 8, text.x1 + 8, text.y1 + 8}, regions[0].box));
}

TEST(SplitPage, LightOnDarkIsTheSame) {
  std::vector<std::vector<Region>> found;
  for (const bool dark : {false, true}) {
    DrawnPage page(1000, 1400, dark ? 20 : 255, dark ? 240 : 0);
    page.paragraph(100, 100, 850, 4, kSize);
    page.paragraph(100, 500, 850, 5, kSize);
    found.push_back(split_page(page.image));
  }
  ASSERT_THAT(found[0], SizeIs(2));
  ASSERT_THAT(found[1], SizeIs(2));
  for (int i = 0; i < 2; ++i) EXPECT_TRUE(holds(found[0][i].box, found[1][i].box, 1));
}

TEST(SplitPage, AShadowDoesNotHideText) {
  DrawnPage page(1000, 1400);
  const Box text = page.paragraph(100, 100, 900, 30, kSize);
  for (int y = 0; y < 1400; ++y)
    for (int x = 0; x < 1000; ++x)
      for (int c = 0; c < 3; ++c) {
        std::uint8_t& value = page.image.rgb[3 * (y * 1000 + x) + c];
        value = static_cast<std::uint8_t>((value * 0.8 + 40) * (1 - 0.6 * x / 1000));
      }
  const std::vector<Region> regions = split_page(page.image);
  ASSERT_THAT(regions, SizeIs(1));
  EXPECT_TRUE(holds(regions[0].box, text, kSize));
}

TEST(SplitPage, ColumnsAreReadOneAfterTheOther) {
  DrawnPage page(1400, 1800);
  const Box title = page.line(200, 140, 1200, 2 * kSize);
  std::vector<Box> texts;
  for (const int x : {100, 740})
    for (const int y : {300, 620, 940}) texts.push_back(page.paragraph(x, y, x + 560, 7, kSize));
  const Box last = page.paragraph(100, 1400, 1300, 4, kSize);
  const std::vector<Region> regions = split_page(page.image);
  ASSERT_THAT(regions, SizeIs(8));
  EXPECT_EQ(regions[0].label, RegionLabel::doc_title);
  EXPECT_TRUE(holds(regions[0].box, title, kSize));
  for (int i = 0; i < 6; ++i) EXPECT_TRUE(holds(regions[1 + i].box, texts[i], kSize)) << i;
  EXPECT_TRUE(holds(regions[7].box, last, kSize));
}

TEST(SplitPage, ParagraphsAreToldApartByWhiteAndIndents) {
  DrawnPage page(1000, 1400);
  page.paragraph(100, 100, 900, 5, kSize);
  page.paragraph(100, 100 + 6 * DrawnPage::pitch(kSize), 900, 5, kSize);
  EXPECT_THAT(split_page(page.image), SizeIs(2));

  DrawnPage indented(1000, 1400);
  for (int i = 0; i < 12; ++i) {
    const bool first = i % 4 == 0;
    indented.line(first ? 140 : 100, 200 + i * DrawnPage::pitch(kSize), 900, kSize);
  }
  EXPECT_THAT(split_page(indented.image), SizeIs(3));
}

TEST(SplitPage, HeadingsAreLargerOrBold) {
  DrawnPage page(1000, 1400);
  page.paragraph(100, 100, 900, 8, kSize);
  page.line(100, 470, 500, kSize * 3 / 2);
  page.paragraph(100, 520, 900, 8, kSize);
  EXPECT_THAT(labels_of(split_page(page.image)),
              ElementsAre(RegionLabel::text, RegionLabel::paragraph_title, RegionLabel::text));
}

TEST(SplitPage, RuledTablesKeepTheirText) {
  DrawnPage page(1000, 1400);
  page.paragraph(100, 100, 900, 4, kSize);
  for (int row = 0; row <= 4; ++row) page.bar(150, 400 + 50 * row, 853, 403 + 50 * row);
  for (int column = 0; column <= 3; ++column) page.bar(150 + 233 * column, 400, 153 + 233 * column, 603);
  for (int row = 0; row < 4; ++row)
    for (int column = 0; column < 3; ++column)
      page.line(165 + 233 * column, 435 + 50 * row, 165 + 233 * column + 120, kSize);
  page.paragraph(100, 750, 900, 4, kSize);
  const std::vector<Region> regions = split_page(page.image);
  ASSERT_THAT(labels_of(regions), ElementsAre(RegionLabel::text, RegionLabel::table, RegionLabel::text));
  EXPECT_TRUE(holds(regions[1].box, {150, 400, 853, 603}));
}

TEST(SplitPage, ColumnsBetweenRulesAreATable) {
  DrawnPage page(1000, 1400);
  page.paragraph(100, 100, 900, 4, kSize);
  for (const int y : {400, 450, 650}) page.bar(200, y, 800, y + 2);
  for (int row = 0; row < 6; ++row)
    for (int column = 0; column < 3; ++column)
      page.line(205 + 200 * column, 435 + 38 * row, 205 + 200 * column + 100, kSize);
  page.paragraph(100, 750, 900, 4, kSize);
  EXPECT_THAT(labels_of(split_page(page.image)),
              ElementsAre(RegionLabel::text, RegionLabel::table, RegionLabel::text));
}

TEST(SplitPage, AFrameAroundTextIsNoTable) {
  DrawnPage page(1000, 1400);
  page.paragraph(120, 120, 880, 8, kSize);
  for (const int y : {90, 420}) page.bar(90, y, 912, y + 2);
  for (const int x : {90, 910}) page.bar(x, 90, x + 2, 422);
  EXPECT_THAT(labels_of(split_page(page.image)), ElementsAre(RegionLabel::text));
}

TEST(SplitPage, PhotographsArePictures) {
  DrawnPage page(1000, 1400);
  page.paragraph(100, 100, 900, 5, kSize);
  for (int y = 400; y < 800; ++y)
    for (int x = 250; x < 750; ++x)
      page.fill(x, y, x + 1, y + 1, static_cast<std::uint8_t>(20 + (x * y / 500) % 150));
  page.paragraph(100, 950, 900, 5, kSize);
  const std::vector<Region> regions = split_page(page.image);
  ASSERT_THAT(labels_of(regions), ElementsAre(RegionLabel::text, RegionLabel::image, RegionLabel::text));
  EXPECT_TRUE(holds(regions[1].box, {250, 400, 750, 800}, 4));
}

TEST(SplitPage, APlotTakesItsLabels) {
  DrawnPage page(1000, 1400);
  page.paragraph(100, 60, 900, 5, kSize);
  page.bar(250, 400, 253, 803);
  page.bar(250, 800, 750, 803);
  for (int x = 0; x < 480; ++x) page.bar(255 + x, 790 - x * 3 / 4, 259 + x, 794 - x * 3 / 4);
  for (int i = 0; i < 4; ++i) page.line(260 + 130 * i, 835, 260 + 130 * i + 40, kSize);
  page.paragraph(100, 950, 900, 5, kSize);
  const std::vector<Region> regions = split_page(page.image);
  ASSERT_THAT(labels_of(regions), ElementsAre(RegionLabel::text, RegionLabel::chart, RegionLabel::text));
  EXPECT_TRUE(holds(regions[1].box, {250, 430, 735, 838}, 4));
}

TEST(SplitPage, LightTextOnAPanelIsFound) {
  DrawnPage page(1000, 1400);
  page.paragraph(100, 500, 900, 12, kSize);
  page.fill(60, 80, 940, 320, 40);
  DrawnPage light(1000, 1400, 0, 230);
  light.paragraph(120, 130, 880, 4, kSize);
  for (std::size_t i = 0; i < page.image.rgb.size(); ++i)
    page.image.rgb[i] = std::max(page.image.rgb[i], light.image.rgb[i]);
  const std::vector<Region> regions = split_page(page.image);
  ASSERT_THAT(labels_of(regions), ElementsAre(RegionLabel::text, RegionLabel::text));
  EXPECT_TRUE(holds(regions[0].box, {120, 133, 870, 235}, kSize));
}

TEST(SplitPage, PageNumbersAndHeadersAreToldByTheirPlace) {
  DrawnPage page(1000, 1400);
  page.line(100, 80, 400, kSize);
  page.bar(100, 100, 900, 102);
  page.line(880, 80, 900, kSize);
  page.paragraph(100, 180, 900, 30, kSize);
  page.line(490, 1340, 512, kSize);
  const std::vector<Region> regions = split_page(page.image);
  EXPECT_THAT(labels_of(regions),
              ElementsAre(RegionLabel::header, RegionLabel::number, RegionLabel::text, RegionLabel::number));
  SplitOptions options;
  options.page_furniture = false;
  for (const Region& region : split_page(page.image, options)) EXPECT_EQ(region.label, RegionLabel::text);
}

// Contents without leaders: the numbers stand far away, at the right end of the column.
TEST(SplitPage, PageNumbersBelongToTheirEntries) {
  DrawnPage page(1000, 1400);
  page.line(100, 80, 400, kSize);
  page.line(880, 80, 900, kSize);
  page.paragraph(100, 180, 900, 4, kSize);
  for (const int baseline : {500, 600, 700}) {
    page.line(100, baseline, 300, kSize);
    page.line(880, baseline, 899, kSize);
  }
  page.paragraph(100, 800, 900, 10, kSize);
  const std::vector<Region> regions = split_page(page.image);
  ASSERT_THAT(labels_of(regions),
              ElementsAre(RegionLabel::header, RegionLabel::number, RegionLabel::text, RegionLabel::text,
                          RegionLabel::text, RegionLabel::text, RegionLabel::text));
  for (int i = 3; i < 6; ++i) {
    EXPECT_LE(regions[i].box.x0, 100);
    EXPECT_GE(regions[i].box.x1, 890);
  }
}

// The number of a formula stands where page numbers do, but in brackets, which are taller than letters.
TEST(SplitPage, NumbersOfFormulasAreNoPageNumbers) {
  DrawnPage page(1000, 1400);
  page.paragraph(100, 180, 900, 8, kSize);
  page.line(350, 600, 550, kSize);
  const int taller = kSize * 3 / 2;
  page.line(860, 600 + kSize / 4, 899, taller);
  page.paragraph(100, 800, 900, 10, kSize);
  for (const Region& region : split_page(page.image))
    EXPECT_FALSE(region.box.x0 <= 350 && region.box.x1 >= 890 && region.box.y1 > 550 && region.box.y0 < 620);
}

// Names in a narrow column beside their descriptions; their heading stands right above them.
TEST(SplitPage, NamesBelongToTheirDescriptions) {
  DrawnPage page(1000, 1400);
  page.paragraph(100, 180, 900, 4, kSize);
  const int pitch = DrawnPage::pitch(kSize);
  page.line(100, 500, 190, kSize);  // the heading
  for (int i = 1; i <= 3; ++i) page.line(100, 500 + i * pitch, 180, kSize);
  for (int i = 1; i <= 8; ++i) page.line(320, 500 + i * pitch, 900, kSize);
  page.paragraph(100, 900, 900, 10, kSize);
  const std::vector<Region> regions = split_page(page.image);
  ASSERT_THAT(regions, SizeIs(3));
  EXPECT_TRUE(holds(regions[1].box, {100, 500 - kSize, 890, 500.0 + 8 * pitch}, 2));
}

TEST(SplitPage, SignsAtTheEdgesOfALineDoNotDivideIt) {
  DrawnPage page(1000, 1400);
  page.paragraph(100, 180, 900, 4, kSize);
  const int pitch = DrawnPage::pitch(kSize), baseline = 180 + 4 * pitch + kSize;
  page.line(100, baseline, 400, kSize);
  page.bar(420, baseline - 4, 424, baseline + 6);  // a comma, apart from both
  page.line(444, baseline, 890, kSize);
  page.paragraph(100, baseline + pitch - kSize, 900, 4, kSize);
  EXPECT_THAT(split_page(page.image), SizeIs(1));
}

// Tall signs make a formula of a short line in the middle, unless it is a row of answers or written by a machine.
TEST(SplitPage, RowsOfAnswersAndProgramsAreNoFormulas) {
  for (const int kind : {0, 1, 2}) {
    DrawnPage page(1000, 1400);
    page.paragraph(100, 180, 900, 6, kSize);
    const int baseline = 480;
    page.bar(296, baseline - 32, 300, baseline + 8);
    page.bar(296, baseline - 32, 304, baseline - 28);
    if (kind == 0) page.line(310, baseline, 460, kSize);
    for (int i = 0; kind == 1 && i < 4; ++i) page.line(310 + 90 * i, baseline, 360 + 90 * i, kSize);
    for (int i = 0; kind == 2 && i < 12; ++i) page.letter(310 + 13 * i, baseline, kSize, 1);
    page.paragraph(100, 560, 900, 10, kSize);
    const std::vector<Region> regions = split_page(page.image);
    ASSERT_THAT(regions, SizeIs(3)) << kind;
    EXPECT_EQ(regions[1].label, kind == 0 ? RegionLabel::display_formula : RegionLabel::text) << kind;
  }
}

// A heading of one column that reaches a little into the height of a line of the other one.
TEST(SplitPage, ColumnsGoOnBesideAShortHeading) {
  DrawnPage page(1000, 1400);
  page.paragraph(100, 200, 480, 6, kSize);
  page.line(100, 490, 200, kSize);
  page.paragraph(100, 530, 480, 10, kSize);
  page.paragraph(520, 200, 900, 8, kSize);
  page.paragraph(520, 492, 900, 1, kSize);
  page.paragraph(520, 560, 900, 10, kSize);
  const std::vector<Region> regions = split_page(page.image);
  ASSERT_GE(regions.size(), 4u);
  bool right = false;
  for (const Region& region : regions) {
    right |= region.box.x0 > 500;
    EXPECT_EQ(region.box.x0 > 500, right) << "the left column comes first";
  }
}

TEST(SplitPage, NoInkIsLost) {
  std::mt19937 random(7);
  const auto pick = [&](int from, int to) { return std::uniform_int_distribution<int>(from, to)(random); };
  for (int round = 0; round < 12; ++round) {
    DrawnPage page(pick(300, 1200), pick(300, 1200));
    for (int i = 0, y = 40; y < page.image.height - 20; ++i, y += pick(42, 60)) {
      const int x = pick(5, page.image.width - 100), size = pick(10, 30);
      page.line(x, y, std::min(page.image.width - 5, x + pick(40, 400)), size);
    }
    const std::vector<Region> regions = split_page(page.image);
    expect_inside(page.image, regions);
    for (int y = 0; y < page.image.height; ++y) {
      for (int x = 0; x < page.image.width; ++x) {
        if (page.image.rgb[3 * (y * page.image.width + x)] != 0) continue;
        const Box pixel{double(x), double(y), x + 1.0, y + 1.0};
        ASSERT_TRUE(std::any_of(regions.begin(), regions.end(),
                                [&](const Region& region) { return holds(region.box, pixel); }))
            << round << ": " << x << ", " << y;
      }
    }
  }
}

TEST(SplitPage, OddPicturesAreNoDanger) {
  std::mt19937 random(3);
  for (const auto& [width, height] :
       {std::pair{1, 1}, {2, 700}, {700, 2}, {16384, 3}, {37, 41}, {5000, 400}}) {
    DrawnPage page(width, height);
    for (std::uint8_t& value : page.image.rgb) value = static_cast<std::uint8_t>(random());
    expect_inside(page.image, split_page(page.image));
    for (std::size_t i = 0; i < page.image.rgb.size(); ++i) page.image.rgb[i] = i / 3 % 2 == 0 ? 0 : 255;
    expect_inside(page.image, split_page(page.image));
    for (std::size_t i = 0; i < page.image.rgb.size(); ++i)
      page.image.rgb[i] = i / 3 / width % 8 == 0 ? 0 : 255;
    expect_inside(page.image, split_page(page.image));
  }
}

TEST(SplitPage, LargePagesAreReducedFirst) {
  DrawnPage page(4000, 5600);
  const Box text = page.paragraph(600, 1200, 3400, 6, 80);
  const std::vector<Region> regions = split_page(page.image);
  ASSERT_THAT(regions, SizeIs(1));
  EXPECT_TRUE(holds(regions[0].box, text, 80));
}

class UncoveredText : public ::testing::Test {
 protected:
  UncoveredText() {
    for (const int x : {100, 740})
      for (const int y : {300, 620, 940}) texts.push_back(page.paragraph(x, y, x + 560, 7, kSize));
  }
  Region region(int text) const {
    Region found;
    found.label = RegionLabel::abstract;
    found.box = texts[text];
    return found;
  }
  DrawnPage page{1400, 1800};
  std::vector<Box> texts;
};

TEST_F(UncoveredText, ComesToItsPlace) {
  const std::vector<Region> detected{region(0), region(2), region(3), region(5)};
  const std::vector<Region> all = uncovered_text(page.image, detected);
  ASSERT_THAT(labels_of(all), ElementsAre(RegionLabel::abstract, RegionLabel::text, RegionLabel::abstract,
                                          RegionLabel::abstract, RegionLabel::text, RegionLabel::abstract));
  EXPECT_TRUE(holds(all[1].box, texts[1], kSize));
  EXPECT_TRUE(holds(all[4].box, texts[4], kSize));
}

TEST_F(UncoveredText, LinesAreCutFromTheirParagraph) {
  std::vector<Region> detected;
  for (int i = 0; i < 6; ++i) detected.push_back(region(i));
  detected[1].box.y1 = detected[1].box.y0 + 3 * DrawnPage::pitch(kSize) - 8;
  const std::vector<Region> all = uncovered_text(page.image, detected);
  ASSERT_THAT(all, SizeIs(7));
  EXPECT_EQ(all[2].label, RegionLabel::text);
  EXPECT_GT(all[2].box.y0, detected[1].box.y1 - kSize);
  EXPECT_GT(all[2].box.y1, texts[1].y1 - 4);
}

// An edge through the middle of a line takes it in, one that touches it leaves it alone.
TEST_F(UncoveredText, EdgesDoNotCutLines) {
  std::vector<Region> detected;
  for (int i = 0; i < 6; ++i) detected.push_back(region(i));
  const double fourth = texts[1].y0 + 3 * DrawnPage::pitch(kSize);  // the top of its letters
  detected[1].box.y1 = fourth + kSize / 2;
  std::vector<Region> all = uncovered_text(page.image, detected);
  ASSERT_THAT(all, SizeIs(7));
  EXPECT_GE(all[1].box.y1, fourth + 0.9 * kSize);
  EXPECT_GE(all[2].box.y0, all[1].box.y1 - 8);

  detected[1].box.y1 = fourth + 3;
  all = uncovered_text(page.image, detected);
  ASSERT_THAT(all, SizeIs(7));
  EXPECT_LE(all[1].box.y1, fourth + 1);
}

TEST_F(UncoveredText, ALineBelongsToOneRegion) {
  std::vector<Region> detected;
  for (int i = 0; i < 6; ++i) detected.push_back(region(i));
  detected[1].score = 0.9f;
  detected.push_back(detected[1]);  // its last two lines once more
  detected.back().score = 0.5f;
  detected.back().box.y0 = texts[1].y0 + 5 * DrawnPage::pitch(kSize) - 4;
  detected[1].box.y1 =
      texts[1].y0 + 5 * DrawnPage::pitch(kSize) + 1.2 * kSize;  // ends with the sixth of seven
  const std::vector<Region> all = uncovered_text(page.image, detected);
  ASSERT_THAT(all, SizeIs(7));
  EXPECT_GE(all[6].box.y0, all[1].box.y1 - 0.2 * kSize);
  EXPECT_GE(all[6].box.y1, texts[1].y1 - 2);
}

TEST_F(UncoveredText, IsEmptyWhereAllIsCovered) {
  std::vector<Region> detected;
  for (int i = 0; i < 6; ++i) detected.push_back(region(i));
  EXPECT_THAT(uncovered_text(page.image, detected), SizeIs(6));
}

TEST_F(UncoveredText, OfNothingIsThePage) { EXPECT_THAT(uncovered_text(page.image, {}), SizeIs(6)); }

// Grain of a scan: none of it is darker than paper by as much as ink is.
TEST_F(UncoveredText, GrainIsNoText) {
  std::vector<Region> detected;
  for (int i = 0; i < 6; ++i) detected.push_back(region(i));
  std::minstd_rand random;
  std::normal_distribution<float> deviation(0, 12);
  for (std::size_t i = 0; i < page.image.rgb.size(); i += 3) {
    const float value = std::clamp(0.85f * page.image.rgb[i] + 15 + deviation(random), 0.0f, 255.0f);
    std::fill_n(page.image.rgb.begin() + static_cast<std::ptrdiff_t>(i), 3, static_cast<std::uint8_t>(value));
  }
  EXPECT_THAT(uncovered_text(page.image, detected), SizeIs(6));
  detected.erase(detected.begin() + 1);
  EXPECT_THAT(uncovered_text(page.image, detected), SizeIs(6));
}

TEST_F(UncoveredText, MarksFarLowerThanLettersAreNoText) {
  std::vector<Region> detected;
  for (int i = 0; i < 6; ++i) detected.push_back(region(i));
  for (int x = 200; x < 500; x += 60) page.bar(x, 1500, x + 9, 1500 + kSize / 3);
  EXPECT_THAT(uncovered_text(page.image, detected), SizeIs(6));
  for (int x = 200; x < 500; x += 60) page.bar(x, 1600, x + 9, 1600 + kSize);
  EXPECT_THAT(uncovered_text(page.image, detected), SizeIs(Gt(6u)));
}

TEST_F(UncoveredText, AListOfReferencesCoversNothing) {
  std::vector<Region> detected{region(0)};
  detected[0].label = RegionLabel::reference;
  EXPECT_THAT(uncovered_text(page.image, detected), SizeIs(7));
}

}  // namespace
}  // namespace glmocr
