// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <chrono>
#include <cstdint>
#include <exception>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "glmocr/types.h"
#include "models/glm_ocr/preprocess.h"
#include "models/glm_ocr/prompt.h"
#include "models/tokenizer.h"

namespace glmocr::engine {

struct Request {
  Prompt prompt;                          // build_prompt
  std::vector<PreprocessedImage> images;  // in the prompt's order
  SamplingParams sampling;
  int max_tokens = 8192;
  // UTF-8, matched on the text, across tokens too; the text ends before the match.
  std::vector<std::string> stop;
  std::vector<TokenId> stop_ids;  // empty: the model's
  bool ignore_eos = false;        // go on behind stop ids
  std::optional<std::chrono::steady_clock::time_point> deadline;
  // Called on the engine's thread for every event, and must not block. What it throws ends its own request.
  std::function<void(const TokenEvent&)> on_token;
};

struct Completion {
  std::string text;             // the events' texts together
  std::vector<TokenId> tokens;  // all that were generated, the stop id included
  std::vector<float> logprobs;  // [tokens]
  FinishReason finish_reason = FinishReason::stop;
  std::int64_t prompt_tokens = 0;  // image tokens included
  std::int64_t image_tokens = 0;
  std::int64_t completion_tokens = 0;
  Timings timings;
  std::exception_ptr error;  // finish_reason error: the request's own failure, mostly an Error

  double mean_logprob() const;  // 0 without tokens
};

}  // namespace glmocr::engine
