// SPDX-License-Identifier: Apache-2.0
#include "cli/option_parsers.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "base/edit_distance.h"
#include "base/error.h"

namespace glmocr::cli {

std::int64_t parse_size(const std::string& text) {
  const auto bad = [&]() {
    fail(ErrorCode::usage, cat("\"", text, "\" is not a size; expected for example 800M or 2G"));
  };
  // strtod alone would accept hexadecimal numbers, "inf" and leading blanks.
  const std::size_t digits = text.find_first_not_of("0123456789.");
  const std::string number = text.substr(0, digits);
  std::string unit = digits == std::string::npos ? "" : text.substr(digits);
  if (number.empty() || number == "." || std::count(number.begin(), number.end(), '.') > 1) bad();
  if (unit.ends_with("iB")) {
    unit.resize(unit.size() - 2);
  } else if (unit.ends_with("B")) {
    unit.pop_back();
  }
  const std::string_view units = "KMGT";
  double factor = 1;
  if (unit.size() > 1) bad();
  if (unit.size() == 1) {
    const std::size_t power = units.find(unit == "k" ? 'K' : unit[0]);
    if (power == std::string_view::npos) bad();
    factor = std::pow(1024.0, power + 1);
  }
  const double bytes = std::strtod(number.c_str(), nullptr) * factor;
  if (bytes < 1 || bytes >= 0x1p62) bad();
  return std::llround(std::floor(bytes));
}

int parse_count(const std::string& text) {
  const bool digits = !text.empty() && text.find_first_not_of("0123456789") == std::string::npos;
  const long long value = digits && text.size() <= 10 ? std::atoll(text.c_str()) : -1;
  if (value < 0 || value > 1 << 30) fail(ErrorCode::usage, cat("\"", text, "\" is not a count"));
  return static_cast<int>(value);
}

std::vector<std::string> split_list(const std::string& text) {
  std::vector<std::string> words;
  std::size_t begin = 0;
  while (true) {
    const std::size_t end = text.find(',', begin);
    words.push_back(text.substr(begin, end - begin));
    if (words.back().empty()) fail(ErrorCode::usage, cat("\"", text, "\" is not a list such as 1,8,12"));
    if (end == std::string::npos) return words;
    begin = end + 1;
  }
}

std::array<std::uint8_t, 3> parse_colour(const std::string& text) {
  if (text == "white") return {255, 255, 255};
  if (text == "black") return {0, 0, 0};
  const std::string digits = text.starts_with('#') ? text.substr(1) : "";
  const bool hexadecimal = digits.find_first_not_of("0123456789abcdefABCDEF") == std::string::npos;
  if (!hexadecimal || (digits.size() != 3 && digits.size() != 6)) {
    fail(ErrorCode::usage, cat("\"", text, "\" is not a colour; expected white, black or #rrggbb"));
  }
  std::array<std::uint8_t, 3> colour{};
  const std::size_t width = digits.size() / 3;
  for (std::size_t i = 0; i < 3; ++i) {
    const auto value = std::strtoul(digits.substr(i * width, width).c_str(), nullptr, 16);
    colour[i] = static_cast<std::uint8_t>(width == 1 ? value * 17 : value);
  }
  return colour;
}

std::vector<std::string> parse_name_list(std::string_view text, bool null_separated) {
  std::vector<std::string> names;
  const std::string_view mark = "\xef\xbb\xbf";  // with which editors may begin a text in UTF-8
  if (!null_separated && text.starts_with(mark)) text.remove_prefix(mark.size());
  while (!text.empty()) {
    const std::size_t end = text.find(null_separated ? '\0' : '\n');
    std::string_view name = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (!null_separated && name.ends_with('\r')) name.remove_suffix(1);
    if (!name.empty()) names.emplace_back(name);
  }
  return names;
}

std::string closest_word(const std::string& word, const std::vector<std::string>& words) {
  std::string best;
  std::size_t best_distance = word.size() / 3 + 1;  // with more changes it is another word
  for (const std::string& candidate : words) {
    const std::size_t distance =
        candidate.starts_with(word) && word.size() > 3 ? 1 : edit_distance<std::string_view>(word, candidate);
    if (distance < best_distance || (distance == best_distance && best.empty())) {
      best = candidate;
      best_distance = distance;
    }
  }
  return best;
}

}  // namespace glmocr::cli
