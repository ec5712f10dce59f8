// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace glmocr {

using TokenId = std::int32_t;

// Why a text ended.
enum class FinishReason {
  stop,        // a stop id or a stop string
  length,      // max_tokens, or the end of the context
  cancelled,   // the caller, the deadline, or the engine's end
  repetition,  // the model went round in circles
  error,       // the request failed
};

std::string_view to_string(FinishReason reason);

// How tokens are chosen. The defaults are greedy.
struct SamplingParams {
  float temperature = 0;         // 0: the most probable token
  float top_p = 1;               // 0 … 1; the best token stays always
  float min_p = 0;               // 0 … 1, of the best token's probability
  int top_k = 0;                 // 0: all
  float repetition_penalty = 1;  // Hugging Face's meaning: over the ids of prompt and output, each once
  std::uint64_t seed = 0;        // with the index of a token it determines the random number
  int logprobs = 0;              // most probable tokens to report beside each chosen one, 0 … kMaxLogprobs
};

inline constexpr int kMaxLogprobs = 100;

// One token of the output, as it is made.
struct TokenEvent {
  TokenId token = -1;  // -1: no token, only text that was held back when the request was ended from outside
  std::string text;    // new text that is safe to show: whole UTF-8, never part of a stop string; often empty
  float logprob = 0;   // natural logarithm, after the repetition penalty, before temperature
  std::vector<std::pair<TokenId, float>> top;  // SamplingParams::logprobs of them, best first
};

// Milliseconds by the clock, so they hold the work for other requests of the same steps; their sum is the
// time from submit to the end.
struct Timings {
  double queue_ms = 0;    // until the request was admitted
  double vision_ms = 0;   // steps that encoded its pictures
  double prefill_ms = 0;  // the rest until its first token
  double decode_ms = 0;   // from the first token on
};

}  // namespace glmocr
