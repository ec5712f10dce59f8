// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include <cstring>

#include "cli/console.h"
#include "cli/exit_code.h"
#include "cli/npy.h"
#include "cli/option_parsers.h"
#include "cli/progress.h"

namespace glmocr::cli {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

TEST(ExitCode, FollowsTheErrorAndIsExplained) {
  const std::pair<ErrorCode, int> codes[] = {
      {ErrorCode::usage, 2},  {ErrorCode::input, 3}, {ErrorCode::model, 4},       {ErrorCode::memory, 5},
      {ErrorCode::device, 6}, {ErrorCode::busy, 75}, {ErrorCode::cancelled, 130}, {ErrorCode::internal, 70}};
  for (const auto& [error, code] : codes) {
    EXPECT_EQ(exit_code(error), code);
    bool explained = false;
    for (const ExitCodeMeaning& meaning : exit_code_meanings()) explained = explained || meaning.code == code;
    EXPECT_TRUE(explained) << code;
  }
}

TEST(Size, NumbersWithUnits) {
  EXPECT_EQ(parse_size("1536"), 1536);
  EXPECT_EQ(parse_size("512M"), std::int64_t{512} << 20);
  EXPECT_EQ(parse_size("2G"), std::int64_t{2} << 30);
  EXPECT_EQ(parse_size("1.5GiB"), std::int64_t{3} << 29);
  EXPECT_EQ(parse_size("64k"), 65536);
  EXPECT_EQ(parse_size("7B"), 7);
  for (const char* bad :
       {"", "G", "-1G", "0", "1X", "1GG", "1.2.3M", "0x10", "inf", "1e3", " 1", ".", "99999999T"}) {
    EXPECT_THROW(parse_size(bad), Error) << bad;
  }
}

TEST(Colour, NamesAndHexadecimal) {
  EXPECT_THAT(parse_colour("white"), ElementsAre(255, 255, 255));
  EXPECT_THAT(parse_colour("black"), ElementsAre(0, 0, 0));
  EXPECT_THAT(parse_colour("#1a2B3c"), ElementsAre(0x1a, 0x2b, 0x3c));
  EXPECT_THAT(parse_colour("#f08"), ElementsAre(0xff, 0x00, 0x88));
  for (const char* bad : {"", "#", "ffffff", "#12", "#12345g", "red"})
    EXPECT_THROW(parse_colour(bad), Error) << bad;
}

TEST(NameList, LinesOrNuls) {
  EXPECT_THAT(parse_name_list("a\nb c\r\n\nd", false), ElementsAre("a", "b c", "d"));
  EXPECT_THAT(parse_name_list(std::string("a\nb\0c\r\0", 7), true), ElementsAre("a\nb", "c\r"));
  EXPECT_THAT(parse_name_list("\xef\xbb\xbf"
                              "a\r\nb",
                              false),
              ElementsAre("a", "b"));
  EXPECT_THAT(parse_name_list("", false), IsEmpty());
}

TEST(ClosestWord, FindsSlipsAndNothingElse) {
  const std::vector<std::string> words = {"--temperature", "--threads", "--top-k"};
  EXPECT_EQ(closest_word("--temprature", words), "--temperature");
  EXPECT_EQ(closest_word("--thread", words), "--threads");
  EXPECT_EQ(closest_word("--temp", words), "--temperature");
  EXPECT_EQ(closest_word("--something-else", words), "");
}

TEST(Printable, EscapesWhatDrivesATerminal) {
  EXPECT_EQ(printable("a b é €"), "a b é €");
  EXPECT_EQ(printable("a\nb\t\r\x1b[0m\x7f"), "a\\nb\\t\\r\\x1b[0m\\x7f");
  EXPECT_EQ(printable("\xc2\x9b"), "\\xc2\\x9b");  // CSI as one character
}

TEST(Npy, HeaderIsPaddedAndShapesAreTuples) {
  const std::vector<float> values = {1, 2, 3, 4, 5, 6};
  const std::pair<std::vector<std::int64_t>, std::string> shapes[] = {
      {{}, "()"}, {{1}, "(1,)"}, {{2, 3}, "(2, 3)"}, {{1, 2, 3}, "(1, 2, 3)"}};
  for (const auto& one : shapes) {
    std::size_t count = 1;
    for (const std::int64_t size : one.first) count *= static_cast<std::size_t>(size);
    const std::string bytes = npy_bytes(one.first, std::span(values).first(count));
    ASSERT_EQ(bytes.substr(0, 8), std::string("\x93NUMPY\x01\x00", 8));
    const std::size_t begin =
        10u + static_cast<unsigned char>(bytes[8]) + 256u * static_cast<unsigned char>(bytes[9]);
    EXPECT_EQ(begin % 64, 0u);
    EXPECT_EQ(bytes[begin - 1], '\n');
    EXPECT_THAT(bytes.substr(10, begin - 10),
                HasSubstr("{'descr': '<f4', 'fortran_order': False, 'shape': " + one.second + ", }"));
    ASSERT_EQ(bytes.size(), begin + 4 * count);
    EXPECT_EQ(std::memcmp(bytes.data() + begin, values.data(), 4 * count), 0);
  }
}

TEST(ProgressLine, SaysPagesSpeedAndTimeLeft) {
  const ProgressState state{10, 40, 1234, 345.4, 30};
  EXPECT_EQ(progress_line(state, 200),
            "[#######-----------------------] 10/40 pages  20 pages/min  345 tok/s  1:30 left");
  EXPECT_THAT(progress_line({0, 40, 0, 0, 30}, 200), AllOf(Not(HasSubstr("left")), Not(HasSubstr("/min"))));
  EXPECT_THAT(progress_line({0, 1, 5, 7, 1}, 200), HasSubstr("0/1 page  "));
  EXPECT_THAT(progress_line({1, 1001, 5, 7, 10}, 200),
              AllOf(HasSubstr("2:46:40 left"), HasSubstr("  6.0 pages/min")));
  for (const int columns : {0, 1, 20, 50, 60, 80}) {
    EXPECT_LT(progress_line(state, columns).size(), std::max<std::size_t>(columns, 1));
  }
}

}  // namespace
}  // namespace glmocr::cli
