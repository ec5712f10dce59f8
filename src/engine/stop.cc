// SPDX-License-Identifier: Apache-2.0
#include "engine/stop.h"

#include <algorithm>

#include "base/error.h"
#include "base/utf8.h"

namespace glmocr::engine {

void OutputText::check(const std::vector<std::string>& stop) {
  for (std::size_t i = 0; i < stop.size(); ++i) {
    if (stop[i].empty()) fail(ErrorCode::input, cat("stop string ", i + 1, " is empty"));
    const std::size_t offset = find_invalid_utf8(stop[i]);
    if (offset != std::string::npos) {
      fail(ErrorCode::input, cat("stop string ", i + 1, " is not UTF-8 at byte ", offset));
    }
  }
}

OutputText::OutputText(const Tokenizer& tokenizer, std::vector<std::string> stop)
    : decoder_(tokenizer), stop_(std::move(stop)) {}

std::string OutputText::push(TokenId token) { return stopped_ ? "" : add(decoder_.push(token)); }

std::string OutputText::finish() {
  if (stopped_) return "";
  std::string shown = add(decoder_.finish());
  return stopped_ ? shown : shown + release(pending_.size());
}

// Takes the match that ends first, and of several the longest, so the pieces the text comes in do not matter.
std::string OutputText::add(const std::string& text) {
  pending_ += text;
  std::size_t first_end = std::string::npos, begin = 0;
  for (const std::string& stop : stop_) {
    const std::size_t at = pending_.find(stop);
    if (at == std::string::npos) continue;
    const std::size_t end = at + stop.size();
    if (end < first_end || (end == first_end && at < begin)) {
      first_end = end;
      begin = at;
    }
  }
  stopped_ = first_end != std::string::npos;
  return release(stopped_ ? begin : pending_.size() - held_back());
}

std::string OutputText::release(std::size_t count) {
  std::string shown = pending_.substr(0, count);
  pending_.erase(0, count);
  text_ += shown;
  return shown;
}

// Length of the longest suffix of the pending text that is a prefix of a stop string.
std::size_t OutputText::held_back() const {
  std::size_t longest = 0;
  for (const std::string& stop : stop_) {
    std::size_t length = std::min(stop.size() - 1, pending_.size());
    while (length > longest && !pending_.ends_with(std::string_view(stop).substr(0, length))) --length;
    longest = std::max(longest, length);
  }
  return longest;
}

}  // namespace glmocr::engine
