// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

// Parsers of option values. All throw Error{usage}.
namespace glmocr::cli {

// "1536", "512M", "2G", "1.5GiB": bytes; units are powers of 1024.
std::int64_t parse_size(const std::string& text);

// A whole number from 0 to 2^30.
int parse_count(const std::string& text);

// The parts between commas; none may be empty.
std::vector<std::string> split_list(const std::string& text);

// "white", "black", "#rgb" or "#rrggbb".
std::array<std::uint8_t, 3> parse_colour(const std::string& text);

// The names in a list: one per line (a carriage return before the newline is dropped, empty lines are
// skipped), or each ended by a NUL.
std::vector<std::string> parse_name_list(std::string_view text, bool null_separated);

// The word in `words` of which `word` is probably a misspelling, or "".
std::string closest_word(const std::string& word, const std::vector<std::string>& words);

}  // namespace glmocr::cli
