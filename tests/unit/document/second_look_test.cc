// SPDX-License-Identifier: Apache-2.0
#include "document/second_look.h"

#include <gmock/gmock.h>

#include <chrono>
#include <cmath>

#include "unit/regions/drawn_page.h"

namespace glmocr {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr int kSize = 24;  // of letters

Image picture_of(int lines) {
  DrawnPage page(800, 60 + lines * DrawnPage::pitch(kSize));
  for (int i = 0; i < lines; ++i) page.line(10, 40 + i * DrawnPage::pitch(kSize), 780, kSize);
  return page.image;
}

// Each word a token of this probability.
std::vector<TokenEvent> tokens(const std::vector<std::pair<std::string, double>>& words) {
  std::vector<TokenEvent> events;
  for (const auto& [text, probability] : words)
    events.push_back(
        {.token = 1, .text = text, .logprob = static_cast<float>(std::log(probability)), .top = {}});
  return events;
}

Result result_of(const std::vector<TokenEvent>& events, FinishReason reason = FinishReason::stop) {
  Result result;
  for (const TokenEvent& event : events) {
    result.text += event.text;
    result.tokens.push_back(event.token);
    result.logprobs.push_back(event.logprob);
    result.mean_logprob += event.logprob / double(events.size());
  }
  result.finish_reason = reason;
  result.completion_tokens = std::ssize(events);
  return result;
}

Result result_of(const std::string& text, double probability, FinishReason reason = FinishReason::stop) {
  return result_of(tokens({{text, probability}}), reason);
}

TEST(SecondLook, KnowsTheLinesThatWereWritten) {
  const std::vector<WrittenLine> lines =
      written_lines(tokens({{"one", 0.5}, {" two", 0.5}, {"\n", 0.1}, {"\n\n", 1}, {"three\nfour", 0.9}}));
  ASSERT_THAT(lines, SizeIs(3));
  EXPECT_EQ(lines[0].begin, 0u);
  EXPECT_EQ(lines[0].end, 7u);
  EXPECT_EQ(lines[0].tokens, 2);
  EXPECT_NEAR(std::exp(lines[0].mean_logprob()), 0.5, 1e-6) << "without the line's end";
  EXPECT_EQ(lines[1].begin, 10u);
  EXPECT_EQ(lines[2].end, 20u);
  EXPECT_THAT(written_lines({}), IsEmpty());
}

TEST(SecondLook, BelievesASureTextOfAsManyLines) {
  const auto events = tokens({{"a", 0.99}, {"\n", 1}, {"b", 0.95}});
  EXPECT_THAT(second_look(picture_of(2), Task::text, result_of(events), written_lines(events)).rows,
              IsEmpty());
}

TEST(SecondLook, TakesUnsureLinesAlone) {
  const auto events = tokens({{"a", 0.99}, {"\n", 1}, {"  _ _", 0.4}, {"\n", 1}, {"c", 0.99}});
  const Result result = result_of(events);
  const std::vector<WrittenLine> lines = written_lines(events);
  const SecondLook look = second_look(picture_of(3), Task::text, result, lines);
  EXPECT_THAT(look.lines, ElementsAre(1));
  ASSERT_THAT(look.rows, SizeIs(1));
  EXPECT_LT(look.rows[0].height, 2 * kSize);
  const auto with = [&](const Result& row) { return improved(result, lines, look, std::vector{row}); };
  const std::optional<Result> better = with(result_of("b\n", 0.8));
  ASSERT_TRUE(better);
  EXPECT_EQ(better->text, "a\n  b\nc") << "what it is indented by stays";
  EXPECT_GT(better->mean_logprob, result.mean_logprob);
  EXPECT_FALSE(with(result_of("b", 0.3))) << "less sure";
  EXPECT_FALSE(with(result_of("b b b", 0.9, FinishReason::length))) << "cut off";
  EXPECT_FALSE(with(result_of(" ", 0.9))) << "nothing was read";
  EXPECT_FALSE(with(result_of("b _ _ _ _ _ _ _ _", 0.9))) << "stuck";
  EXPECT_TRUE(with(result_of("b . . . . . . . . 7", 0.9))) << "a leader";
}

TEST(SecondLook, TakesAllRowsWhereLinesAreMissing) {
  const auto events = tokens({{"a", 0.99}, {"\n", 1}, {"b", 0.99}});
  const Result result = result_of(events);
  const std::vector<WrittenLine> lines = written_lines(events);
  const SecondLook look = second_look(picture_of(6), Task::text, result, lines);
  EXPECT_THAT(look.lines, IsEmpty());
  EXPECT_THAT(look.rows, SizeIs(6));
  const Result row = result_of("x", 0.9);
  const std::optional<Result> better = improved(result, lines, look, std::vector(6, row));
  ASSERT_TRUE(better) << "nearly as sure, but of all lines";
  EXPECT_EQ(better->text, "x\nx\nx\nx\nx\nx");
  EXPECT_FALSE(improved(result, lines, look, std::vector(6, result_of("x", 0.5))));
  std::vector<Result> cut(6, row);
  cut[3].finish_reason = FinishReason::length;
  EXPECT_FALSE(improved(result, lines, look, cut)) << "a row went on and on";
}

TEST(SecondLook, TakesAllRowsOfATextThatWasCut) {
  const auto events = tokens({{"a a a a", 0.99}, {"\n", 1}, {"a", 0.99}});
  const Result result = result_of(events, FinishReason::repetition);
  const std::vector<WrittenLine> lines = written_lines(events);
  const SecondLook look = second_look(picture_of(2), Task::text, result, lines);
  EXPECT_THAT(look.rows, SizeIs(2));
  const std::vector<Result> rows = {result_of("a", 0.5), result_of("b b", 0.5, FinishReason::length)};
  const std::optional<Result> better = improved(result, lines, look, rows);
  ASSERT_TRUE(better);
  EXPECT_EQ(better->finish_reason, FinishReason::repetition) << "callers know no limit of rows";
}

TEST(SecondLook, KeepsATextOfWhichNothingIsReadAgain) {
  for (const FinishReason reason : {FinishReason::stop, FinishReason::repetition}) {
    const auto events = tokens({{"a b c", 0.5}});
    const Result result = result_of(events, reason);
    const std::vector<WrittenLine> lines = written_lines(events);
    const SecondLook look = second_look(picture_of(3), Task::text, result, lines);
    ASSERT_THAT(look.rows, SizeIs(3));
    const std::vector<Result> nothing(3, result_of(std::vector<TokenEvent>()));
    EXPECT_FALSE(improved(result, lines, look, nothing));
    std::vector<Result> stopped(3, result_of("sure", 0.99));
    std::vector<Result> few(3, result_of("", 0.99));
    few[0] = result_of("a", 0.99);
    EXPECT_FALSE(improved(result, lines, look, few)) << "most rows are blank";
    few[2] = result_of("c", 0.99);
    const std::optional<Result> better = improved(result, lines, look, few);
    ASSERT_TRUE(better);
    EXPECT_EQ(better->text, "a\nc") << "without a blank line";
    stopped[1].finish_reason = FinishReason::time_limit;
    EXPECT_FALSE(improved(result, lines, look, stopped));
  }
}

TEST(SecondLook, KeepsALineWhoseRowWasStopped) {
  const auto events = tokens({{"a", 0.99}, {"\n", 1}, {"doubtful line", 0.4}, {"\n", 1}, {"c", 0.99}});
  const Result result = result_of(events);
  const std::vector<WrittenLine> lines = written_lines(events);
  const SecondLook look = second_look(picture_of(3), Task::text, result, lines);
  ASSERT_THAT(look.lines, ElementsAre(1));
  const std::vector<Result> rows = {result_of("doub", 0.99, FinishReason::time_limit)};
  EXPECT_FALSE(improved(result, lines, look, rows));
}

TEST(SecondLook, LeavesTablesAndTextsThatOthersEnded) {
  const auto events = tokens({{"a", 0.2}});
  const std::vector<WrittenLine> lines = written_lines(events);
  EXPECT_THAT(second_look(picture_of(4), Task::table, result_of(events), lines).rows, IsEmpty());
  for (const FinishReason reason : {FinishReason::length, FinishReason::time_limit})
    EXPECT_THAT(second_look(picture_of(4), Task::text, result_of(events, reason), lines).rows, IsEmpty());
  EXPECT_THAT(second_look(DrawnPage(60, 60).image, Task::text, result_of(events), lines).rows, IsEmpty());
  EXPECT_THAT(second_look(picture_of(1), Task::text, result_of(events), lines).rows, IsEmpty()) << "the same";
}

TEST(SecondLook, NeedsTheLinesOfTheText) {
  const auto events = tokens({{"a", 0.2}, {"\n", 1}, {"b", 0.2}});
  Result shorter = result_of(events);
  shorter.text = "a";
  EXPECT_THAT(second_look(picture_of(2), Task::text, shorter, written_lines(events)).rows, IsEmpty());
}

TEST(SecondLook, ReadsUnsureFormulasAsText) {
  const auto events = tokens({{"\\frac{", 0.3}});
  EXPECT_THAT(second_look(picture_of(1), Task::formula, result_of(events), written_lines(events)).rows,
              SizeIs(1));
  const auto sure = tokens({{"x", 0.8}});
  EXPECT_THAT(second_look(picture_of(3), Task::formula, result_of(sure), written_lines(sure)).rows,
              IsEmpty());
}

TEST(SecondLook, GivesRowsTheRoomThatTheyHave) {
  ReadOptions options;
  options.task = Task::formula;
  options.prompt = "What?";
  Image row;
  row.width = 400;
  row.height = 40;
  const ReadOptions of_row = row_options(options, row, {});
  EXPECT_EQ(of_row.task, Task::text);
  EXPECT_FALSE(of_row.prompt);
  EXPECT_EQ(of_row.max_tokens, 24 + 4 * 10);
  options.max_tokens = 5;
  EXPECT_EQ(row_options(options, row, {}).max_tokens, 5);
}

TEST(SecondLook, RowsGetWhatIsLeftOfTheTimeLimit) {
  using std::chrono::milliseconds;
  const Timings first{.queue_ms = 5000, .vision_ms = 100, .prefill_ms = 200, .decode_ms = 300};
  const Image row{40, 10, {}};
  ReadOptions options;
  EXPECT_FALSE(row_options(options, row, first).time_limit);
  options.time_limit = milliseconds(1000);
  EXPECT_EQ(row_options(options, row, first).time_limit, milliseconds(400)) << "waiting does not count";
  options.time_limit = milliseconds(500);
  EXPECT_EQ(row_options(options, row, first).time_limit, milliseconds(0));
}

TEST(SecondLook, JoinsPieces) {
  const Result joined =
      joined_results(std::vector{result_of(tokens({{"a", 0.5}, {"b", 0.5}})),
                                 result_of("c", 1, FinishReason::repetition), result_of("d", 1)});
  EXPECT_EQ(joined.text, "ab\nc\nd");
  EXPECT_EQ(joined.finish_reason, FinishReason::repetition);
  EXPECT_EQ(joined.completion_tokens, 4);
  EXPECT_NEAR(joined.mean_logprob, std::log(0.5) / 2, 1e-6) << "each token counts";
}

TEST(SecondLook, JoinsPiecesWithoutText) {
  const Result blank = result_of("", 0.9), a = result_of("a", 0.9), b = result_of("b", 0.9);
  EXPECT_EQ(joined_results(std::vector{blank, a, blank, b, blank}).text, "a\nb") << "no blank lines";
  EXPECT_EQ(joined_results(std::vector{blank, blank}).text, "");
}

}  // namespace
}  // namespace glmocr
