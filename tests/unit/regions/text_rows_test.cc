// SPDX-License-Identifier: Apache-2.0
#include "regions/text_rows.h"

#include <gmock/gmock.h>

#include <random>

#include "unit/regions/drawn_page.h"

namespace glmocr {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr int kRowSize = 24;  // of letters

// Dots from x0 as far as x1.
void draw_leader(DrawnPage& page, int x0, int x1, int baseline) {
  for (int x = x0; x + 4 <= x1; x += 12) page.bar(x, baseline - 4, x + 4, baseline);
}

void draw_entry(DrawnPage& page, int baseline) {
  page.line(10, baseline, 200, kRowSize);
  draw_leader(page, 210, 700, baseline);
  page.line(715, baseline, 745, kRowSize);
}

TEST(TextRows, AreTheLinesOfAPicture) {
  DrawnPage page(800, 260);
  page.paragraph(10, 10, 780, 5, kRowSize);
  const std::vector<TextRow> rows = text_rows(page.image);
  ASSERT_THAT(rows, SizeIs(5));
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const int baseline = 10 + kRowSize + static_cast<int>(i) * DrawnPage::pitch(kRowSize);
    EXPECT_LE(rows[i].box.y0, baseline - kRowSize);
    EXPECT_GE(rows[i].box.y1, baseline);
    if (i > 0) {
      EXPECT_GE(rows[i].box.y0, rows[i - 1].box.y1) << "no letter lies in two rows";
    }
    EXPECT_LE(rows[i].leader.x1, rows[i].leader.x0) << "none";
  }
}

TEST(TextRows, HoldWhatStandsSideBySide) {
  DrawnPage page(800, 260);
  for (int i = 0; i < 5; ++i) {
    page.line(10, 40 + 42 * i, 120, kRowSize);
    page.line(400, 42 + 42 * i, 780, kRowSize);
  }
  const std::vector<TextRow> rows = text_rows(page.image);
  ASSERT_THAT(rows, SizeIs(5));
  EXPECT_LE(rows[2].box.x0, 10);
  EXPECT_GE(rows[2].box.x1, 770);
}

// A sign as tall as two lines.
TEST(TextRows, AreNotJoinedByTallSigns) {
  DrawnPage page(800, 120);
  page.bar(10, 10, 14, 85);
  page.bar(10, 10, 60, 14);
  page.bar(56, 10, 60, 85);
  page.line(75, 40, 780, kRowSize);
  page.line(75, 82, 780, kRowSize);
  EXPECT_THAT(text_rows(page.image), SizeIs(2));
}

TEST(TextRows, DoNotCountWhatTheEdgeCutOff) {
  DrawnPage page(800, 140);
  for (int x = 100; x < 600; x += 90) page.bar(x, 0, x + 4, 5);  // the feet of letters above
  page.line(10, 50, 780, kRowSize);
  page.line(10, 92, 780, kRowSize);
  EXPECT_THAT(text_rows(page.image), SizeIs(2));
}

TEST(TextRows, AreNoneInDrawingsAndInNothing) {
  DrawnPage page(800, 600);
  page.line(10, 40, 780, kRowSize);
  page.line(10, 82, 780, kRowSize);
  std::mt19937 random(1);
  for (int y = 120; y < 580; y += 3)
    for (int x = 20; x < 780; x += 3)
      page.fill(x, y, x + 3, y + 3, static_cast<std::uint8_t>(random() % 160));
  EXPECT_THAT(text_rows(page.image), IsEmpty());
  EXPECT_THAT(text_rows(DrawnPage(50, 50).image), IsEmpty());
  EXPECT_THAT(text_rows(Image()), IsEmpty());
  EXPECT_THAT(reading_pieces(Image()), IsEmpty());
}

TEST(TextRows, WithLeadersAreReadOneByOneAndShorter) {
  DrawnPage page(800, 200);
  for (int i = 0; i < 4; ++i) draw_entry(page, 40 + 42 * i);
  const std::vector<TextRow> rows = text_rows(page.image);
  ASSERT_THAT(rows, SizeIs(4));
  EXPECT_NEAR(rows[1].leader.x0, 210, 2);
  EXPECT_NEAR(rows[1].leader.x1, 700, 14);
  const std::vector<Image> pieces = reading_pieces(page.image);
  ASSERT_THAT(pieces, SizeIs(4));
  for (const Image& piece : pieces) {
    EXPECT_LT(piece.width, 400);
    EXPECT_GT(piece.width, 745 - 10 - (700 - 210)) << "its ends are whole";
    EXPECT_LT(piece.height, 50);
    EXPECT_EQ(std::ssize(piece.rgb), std::int64_t{3} * piece.width * piece.height);
  }
  // The end of the row is that of the page.
  const Image& first = pieces.front();
  const int y = static_cast<int>(39 - rows[0].box.y0), from_right = static_cast<int>(rows[0].box.x1) - 716;
  EXPECT_EQ(first.rgb[3 * (std::int64_t{y} * first.width + first.width - from_right)], 0);
}

// Dashes are text.
TEST(TextRows, OfDashesAreNoLeaders) {
  DrawnPage page(800, 200);
  for (int i = 0; i < 4; ++i) {
    page.line(10, 40 + 42 * i, 200, kRowSize);
    for (int x = 210; x < 700; x += 14) page.bar(x, 30 + 42 * i, x + 11, 33 + 42 * i);
    page.line(715, 40 + 42 * i, 745, kRowSize);
  }
  const std::vector<TextRow> rows = text_rows(page.image);
  ASSERT_THAT(rows, SizeIs(4));
  for (const TextRow& row : rows) EXPECT_LE(row.leader.x1, row.leader.x0);
  EXPECT_THAT(reading_pieces(page.image), IsEmpty());
}

TEST(TextRows, OfTextAreReadAtOnce) {
  DrawnPage page(800, 260);
  page.paragraph(10, 10, 780, 5, kRowSize);
  EXPECT_THAT(reading_pieces(page.image), IsEmpty());
  DrawnPage indented(800, 260);
  indented.line(60, 34, 780, kRowSize);
  indented.paragraph(10, 52, 780, 4, kRowSize);
  EXPECT_THAT(reading_pieces(indented.image), IsEmpty());
}

// Letters at unequal distances: those of a typewriter make programs, which may hang out.
void draw_line(DrawnPage& page, int x, int baseline, int end) {
  for (int count = 0; x + kRowSize / 2 <= end; x += 14 + count % 3 * 3, ++count)
    page.letter(x, baseline, kRowSize, count % 3 == 1);
}

TEST(HangingParagraphs, AreReadFromTheirFirstLineApart) {
  DrawnPage page(800, 400);
  int baseline = 40;
  for (int entry = 0; entry < 2; ++entry) {
    for (const int x : {10, 53, 53}) {
      draw_line(page, x, baseline, 770);
      baseline += 42;
    }
  }
  EXPECT_THAT(reading_pieces(page.image), SizeIs(4)) << "two entries, each its first line and the others";
}

TEST(HangingParagraphs, WithASignAreReadAtOnce) {
  DrawnPage page(800, 200);
  page.bar(14, 26, 24, 36);  // a bullet
  for (const int baseline : {40, 82, 124}) draw_line(page, 53, baseline, 770);
  EXPECT_THAT(reading_pieces(page.image), IsEmpty());
}

TEST(HangingParagraphs, OfProgramsAreReadAtOnce) {
  DrawnPage page(800, 200);
  page.line(10, 40, 770, kRowSize);
  for (const int baseline : {82, 124}) page.line(53, baseline, 770, kRowSize);
  EXPECT_THAT(reading_pieces(page.image), IsEmpty());
}

}  // namespace
}  // namespace glmocr
