// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "glmocr/engine.h"
#include "glmocr/image.h"

namespace glmocr {

// The text of several pictures that belong together, one line's end between those that have any. The reason why the first of
// them ended early is the reason of all. `results` must not be empty.
Result joined_results(std::span<const Result> results);

// How sure a model was of a line that it wrote.
struct WrittenLine {
  std::size_t begin = 0, end = 0;  // in the text, without its end
  double logprob = 0;              // the sum over its tokens
  int tokens = 0;

  double mean_logprob() const { return tokens > 0 ? logprob / tokens : 0; }
};

// The lines of a text that are not blank. A token belongs to the line in which its text begins.
std::vector<WrittenLine> written_lines(std::span<const TokenEvent> events);

// What of a picture has to be read again, row by row.
struct SecondLook {
  std::vector<Image> rows;
  std::vector<std::size_t>
      lines;  // of each row, the line that it is; empty: the rows stand for the whole text
};

// The rows of a picture whose text is doubtful: of unsure lines, where the text has one for each row; of all, where
// it repeated itself until it was cut, has another number of lines and was unsure, or a number far from that of the
// rows. `lines` are those of the result.
SecondLook second_look(const Image& picture, Task task, const Result& result,
                       std::span<const WrittenLine> lines);

// How a row is read: as text, with no more tokens than it has room for, within what the first reading has left of the time
// limit.
ReadOptions row_options(const ReadOptions& options, const Image& row, const Timings& first);

// The result with what was read again, where that is better; nullopt: it is not. `rows` are the readings of look.rows. They
// replace no text where nothing was read in half of them or more.
std::optional<Result> improved(const Result& result, std::span<const WrittenLine> lines,
                               const SecondLook& look, std::span<const Result> rows);

}  // namespace glmocr
