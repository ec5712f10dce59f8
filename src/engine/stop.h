// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <string>
#include <vector>

#include "models/tokenizer.h"

namespace glmocr::engine {

// The text of one output as it grows. It releases complete characters only, and nothing that could still
// become a stop string. The text ends before the stop string that is complete first, however it is divided
// into tokens. The tokenizer must outlive it.
class OutputText {
 public:
  OutputText(const Tokenizer& tokenizer, std::vector<std::string> stop);

  // Throws Error{input} for a stop string that is empty or not UTF-8.
  static void check(const std::vector<std::string>& stop);

  std::string push(TokenId token);  // the text released by the token; "" after a stop
  std::string finish();             // the text held back; "" after a stop

  bool stopped() const { return stopped_; }
  const std::string& text() const { return text_; }     // all that was released
  const std::string& held() const { return pending_; }  // whole characters that were not

 private:
  std::string add(const std::string& text);
  std::string release(std::size_t count);
  std::size_t held_back() const;

  StreamDecoder decoder_;
  std::vector<std::string> stop_;
  std::string pending_;  // decoded, not released
  std::string text_;
  bool stopped_ = false;
};

}  // namespace glmocr::engine
