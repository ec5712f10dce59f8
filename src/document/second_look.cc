// SPDX-License-Identifier: Apache-2.0
#include "document/second_look.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <string_view>

#include "regions/text_rows.h"

namespace glmocr {
namespace {

// Mean probabilities of tokens:
constexpr double kSureLine = 0.85;     // from which on a line is believed
constexpr double kSureText = 0.9;      // the same of a text whose number of lines is not that of the rows
constexpr double kSureFormula = 0.6;   // the same of a formula, which rows of text replace
constexpr double kNearlyAsSure = 0.8;  // times as sure as the whole, rows are better where lines are missing

constexpr int kLinesApart =
    8;  // a line more or less for so many may be a sign of its own, such as a raised one
constexpr std::size_t kMostRows = 80;
constexpr std::string_view kBlank = " \t\r\n";

bool is_blank(char letter) { return kBlank.find(letter) != std::string_view::npos; }
bool is_blank(std::string_view text) { return text.find_first_not_of(kBlank) == std::string_view::npos; }

bool differ(std::size_t lines, std::size_t rows) {
  const std::size_t more = std::max(lines, rows), less = std::min(lines, rows);
  return more - less > 1 + more / kLinesApart;
}

// In one line, without white space at its ends.
std::string one_line(std::string_view text) {
  std::string line;
  for (const char letter : text) {
    const bool blank = letter == '\n' || letter == '\r';
    if (!blank || (!line.empty() && line.back() != ' ')) line += blank ? ' ' : letter;
  }
  const auto is_text = [](char letter) { return !is_blank(letter); };
  line.erase(std::find_if(line.rbegin(), line.rend(), is_text).base(), line.end());
  line.erase(line.begin(), std::find_if(line.begin(), line.end(), is_text));
  return line;
}

bool ended_early(const Result& result) { return result.finish_reason != FinishReason::stop; }

// It ran into a limit that says nothing about its text.
bool was_stopped(const Result& result) {
  return result.finish_reason == FinishReason::time_limit || result.finish_reason == FinishReason::cancelled;
}

// The same word over and over, such as "_ _ _ _": what is written of pictures in which nothing can be read.
bool is_stuck(std::string_view text) {
  constexpr int kMost = 6;
  std::string_view last;
  for (int count = 0; !text.empty();) {
    const std::size_t begin = std::min(text.find_first_not_of(kBlank), text.size());
    text.remove_prefix(begin);
    const std::string_view word = text.substr(0, text.find_first_of(kBlank));
    text.remove_prefix(word.size());
    count = word == last ? count + 1 : 1;
    last = word;
    if (count > kMost && !word.empty() && word != ".") return true;
  }
  return false;
}

// The text with its unsure lines as they were read again.
std::optional<Result> with_lines(const Result& result, std::span<const WrittenLine> lines,
                                 const SecondLook& look, std::span<const Result> rows) {
  Result better = result;
  bool changed = false;
  double sum = result.mean_logprob * double(result.tokens.size());
  for (std::size_t i = rows.size(); i-- > 0;) {  // from the end, so that places stay
    const WrittenLine& line = lines[look.lines[i]];
    const std::string text = one_line(rows[i].text);
    if (ended_early(rows[i]) || text.empty() || is_stuck(text) || rows[i].mean_logprob <= line.mean_logprob())
      continue;
    const std::string_view old = std::string_view(result.text).substr(line.begin, line.end - line.begin);
    const std::size_t indent = old.find_first_not_of(kBlank);
    better.text.replace(line.begin + indent, old.size() - indent, text);
    sum += rows[i].mean_logprob * line.tokens - line.logprob;
    changed = true;
  }
  if (!changed) return std::nullopt;
  if (!result.tokens.empty()) better.mean_logprob = sum / double(result.tokens.size());
  return better;
}

}  // namespace

Result joined_results(std::span<const Result> results) {
  Result joined = results.front();
  double sum = joined.mean_logprob * double(joined.tokens.size());
  if (is_blank(joined.text)) joined.text.clear();
  for (const Result& result : results.subspan(1)) {
    if (!is_blank(result.text)) {  // a blank line would end a paragraph
      if (!joined.text.empty()) joined.text += "\n";
      joined.text += result.text;
    }
    if (joined.finish_reason == FinishReason::stop) joined.finish_reason = result.finish_reason;
    joined.tokens.insert(joined.tokens.end(), result.tokens.begin(), result.tokens.end());
    joined.logprobs.insert(joined.logprobs.end(), result.logprobs.begin(), result.logprobs.end());
    joined.completion_tokens += result.completion_tokens;
    sum += result.mean_logprob * double(result.tokens.size());
  }
  joined.mean_logprob = joined.tokens.empty() ? 0 : sum / double(joined.tokens.size());
  return joined;
}

std::vector<WrittenLine> written_lines(std::span<const TokenEvent> events) {
  std::vector<WrittenLine> lines;
  WrittenLine line;
  std::size_t at = 0;
  bool blank = true;
  const auto end_line = [&] {
    line.end = at;
    if (!blank) lines.push_back(line);
  };
  for (const TokenEvent& event : events) {
    if (event.token >= 0 && (event.text.empty() || event.text.front() != '\n')) {
      line.logprob += event.logprob;
      ++line.tokens;
    }
    for (const char letter : event.text) {
      if (letter == '\n') {
        end_line();
        line = {.begin = at + 1};
        blank = true;
      } else if (!is_blank(letter)) {
        blank = false;
      }
      ++at;
    }
  }
  end_line();
  return lines;
}

SecondLook second_look(const Image& picture, Task task, const Result& result,
                       std::span<const WrittenLine> lines) {
  SecondLook look;
  const bool repeats = result.finish_reason == FinishReason::repetition;
  if (!repeats && result.finish_reason != FinishReason::stop) return look;
  if (task != Task::text && task != Task::formula) return look;
  if (!lines.empty() && lines.back().end > result.text.size()) return look;  // those of another text
  const bool unsure =
      repeats || result.mean_logprob < std::log(task == Task::text ? kSureText : kSureFormula);
  if (task == Task::formula && !unsure) return look;
  const std::vector<TextRow> rows = text_rows(picture);
  if (rows.empty() || rows.size() > kMostRows) return look;
  if (task == Task::text && !repeats && rows.size() == lines.size()) {
    if (rows.size() == 1) return look;  // it would be the same picture
    for (std::size_t i = 0; i < rows.size(); ++i)
      if (lines[i].mean_logprob() < std::log(kSureLine)) look.lines.push_back(i);
    for (const std::size_t line : look.lines) look.rows.push_back(row_picture(picture, rows[line]));
    return look;
  }
  if (!unsure && lines.size() == rows.size()) return look;
  for (const TextRow& row : rows) look.rows.push_back(row_picture(picture, row));
  return look;
}

ReadOptions row_options(const ReadOptions& options, const Image& row, const Timings& first) {
  constexpr int kLeast = 24, kPerHeight = 4;  // tokens, and in the width of a row's height
  ReadOptions of_row = options;
  of_row.task = Task::text;
  of_row.prompt.reset();
  of_row.max_tokens = std::min(options.max_tokens, kLeast + kPerHeight * row.width / std::max(1, row.height));
  if (of_row.time_limit) {
    using Duration = std::chrono::steady_clock::duration;
    const std::chrono::duration<double, std::milli> used(first.vision_ms + first.prefill_ms +
                                                         first.decode_ms);
    *of_row.time_limit -= std::min(*of_row.time_limit, std::chrono::duration_cast<Duration>(used));
  }
  return of_row;
}

std::optional<Result> improved(const Result& result, std::span<const WrittenLine> lines,
                               const SecondLook& look, std::span<const Result> rows) {
  if (!look.lines.empty()) return with_lines(result, lines, look, rows);
  if (std::any_of(rows.begin(), rows.end(), was_stopped)) return std::nullopt;
  // Rows in which nothing was read are no reason to lose a text.
  const auto blank =
      std::count_if(rows.begin(), rows.end(), [](const Result& r) { return is_blank(r.text); });
  if (blank == std::ssize(rows) || (!is_blank(result.text) && 2 * blank >= std::ssize(rows)))
    return std::nullopt;
  Result joined = joined_results(rows);
  const double allowed = differ(lines.size(), rows.size()) ? std::log(kNearlyAsSure) : 0;
  const bool surer = joined.mean_logprob > result.mean_logprob + allowed;
  const bool better = ended_early(result) || (surer && !ended_early(joined) && !is_stuck(joined.text));
  if (!better) return std::nullopt;
  if (joined.finish_reason == FinishReason::length) joined.finish_reason = FinishReason::repetition;
  return joined;
}

}  // namespace glmocr
