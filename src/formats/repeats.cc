// SPDX-License-Identifier: Apache-2.0
#include "formats/repeats.h"

#include <cstdint>
#include <unordered_map>
#include <vector>

namespace glmocr::formats {
namespace {

constexpr std::size_t kRepeats = 10;       // of a unit or a line
constexpr std::size_t kShortestUnit = 10;  // characters
constexpr double kLineShare = 0.8;         // of the lines that are the same

// Hashes of all prefixes, so that two parts are compared in constant time. Parts that differ may have equal hashes: what
// is found is compared character by character.
class PrefixHashes {
 public:
  explicit PrefixHashes(TextView text) : hashes_(text.size() + 1), powers_(text.size() + 1, 1) {
    for (std::size_t i = 0; i < text.size(); ++i) {
      hashes_[i + 1] = hashes_[i] * kBase + (text[i] + 1) * kMix;
      powers_[i + 1] = powers_[i] * kBase;
    }
  }
  std::uint64_t part(std::size_t begin, std::size_t length) const {
    return hashes_[begin + length] - hashes_[begin] * powers_[length];
  }

 private:
  static constexpr std::uint64_t kBase = 0x9E3779B97F4A7C15, kMix = 0xD6E8FEB86659FD93;
  std::vector<std::uint64_t> hashes_, powers_;
};

struct Stretch {
  std::size_t begin, end;
};

// The longest stretch around `at` whose characters equal those `unit` places further on; empty: that at `at` does not.
Stretch equal_stretch(TextView text, std::size_t at, std::size_t unit) {
  Stretch stretch{at, at};
  while (stretch.end + unit < text.size() && text[stretch.end] == text[stretch.end + unit]) ++stretch.end;
  if (stretch.end == at) return stretch;
  while (stretch.begin > 0 && text[stretch.begin - 1] == text[stretch.begin - 1 + unit]) --stretch.begin;
  return stretch;
}

// Where a unit of this length is repeated first, if before `limit`. A stretch of nine units in which every character
// equals the one a unit later holds eight whole blocks, the text being divided into blocks of a unit's length: only where
// eight in a row equal their successors, by their hashes, are characters compared.
std::optional<std::size_t> find_unit(TextView text, const PrefixHashes& hashes, std::size_t unit,
                                     std::size_t limit) {
  constexpr std::size_t kBlocks = kRepeats - 2;
  std::size_t equal = 0;  // blocks in a row
  for (std::size_t at = 0; at + 2 * unit <= text.size(); at += unit) {
    if (equal == 0 && at >= limit + unit) return std::nullopt;
    equal = hashes.part(at, unit) == hashes.part(at + unit, unit) ? equal + 1 : 0;
    if (equal < kBlocks) continue;
    const Stretch stretch = equal_stretch(text, at - (kBlocks - 1) * unit, unit);
    if (stretch.end - stretch.begin >= (kRepeats - 1) * unit) {
      return stretch.begin < limit ? std::optional(stretch.begin) : std::nullopt;
    }
    equal = 0;
    at = stretch.end / unit * unit;  // on behind the stretch, which is too short
  }
  return std::nullopt;
}

// The number of the first of three equal lines in a row, lines being `common` or not.
std::optional<std::size_t> first_of_three(const std::vector<TextView>& lines, TextView common) {
  std::size_t in_a_row = 0;
  for (std::size_t i = 0; i < lines.size(); ++i) {
    in_a_row = lines[i] == common ? in_a_row + 1 : 0;
    if (in_a_row == 3) return i - 2;
  }
  return std::nullopt;
}

// The length of the text up to the line that is followed by its own repeats, or npos.
std::size_t end_before_repeated_lines(TextView text) {
  std::vector<TextView> lines;    // stripped, without blank ones
  std::vector<std::size_t> ends;  // of these lines in the text
  std::unordered_map<TextView, std::size_t> counts;
  std::size_t at = 0;
  for (const TextView whole : split(text, U'\n')) {
    at += whole.size() + 1;
    const TextView line = stripped(whole);
    if (line.empty()) continue;
    lines.push_back(line);
    ends.push_back(at - 1);
    ++counts[line];
  }
  for (const auto& [line, count] : counts) {
    const double share = static_cast<double>(count) / static_cast<double>(lines.size());
    if (count < kRepeats || share < kLineShare) continue;
    const auto first = first_of_three(lines, line);
    if (first) return ends[*first];
  }
  return TextView::npos;
}

}  // namespace

std::optional<Repeat> find_repeat(TextView text) {
  const std::size_t longest = text.size() / kRepeats;
  if (longest < kShortestUnit) return std::nullopt;
  const PrefixHashes hashes(text);
  std::optional<Repeat> found;
  for (std::size_t unit = kShortestUnit; unit <= longest; ++unit) {
    const auto begin = find_unit(text, hashes, unit, found ? found->begin : text.size());
    if (begin) found = Repeat{*begin, unit};
    if (found && found->begin == 0) break;
  }
  return found;
}

Text without_repeats(TextView text) {
  const TextView inner = stripped(text);
  if (inner.empty()) return Text(text);
  if (inner.size() > kShortestUnit * kRepeats) {
    if (const auto repeat = find_repeat(inner)) return Text(inner.substr(0, repeat->begin + repeat->unit));
  }
  return Text(text.substr(0, end_before_repeated_lines(text)));
}

}  // namespace glmocr::formats
