// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "glmocr/export.h"

namespace glmocr {

using TokenId = std::int32_t;

// How the weights of products are kept: as they are stored, or as whole numbers of eight bits with a scale per output.
enum class Quantization { none, int8 };

// What a picture is read for.
enum class Task { text, table, formula, extract };

// The prompt that the published model was trained on for a task. For extract, a newline and `schema` follow:
// a JSON template whose values are empty strings. Throws Error{input} when that schema is missing or is not
// JSON.
GLMOCR_API std::string task_prompt(Task task, const std::string& schema = "");

// Why a text ended.
enum class FinishReason {
  stop,        // a stop id or a stop string
  length,      // max_tokens, or the end of the context
  repetition,  // it repeated itself beyond what the picture can hold, and was cut (ReadOptions::guard)
  time_limit,  // ReadOptions::time_limit has passed
  cancelled,   // the caller, or the engine's end
};

GLMOCR_API std::string_view to_string(FinishReason reason);

// How tokens are chosen. Greedy by default.
struct SamplingParams {
  float temperature = 0;         // 0: the most probable token
  float top_p = 1;               // 0 … 1; the most probable token is always kept
  float min_p = 0;               // 0 … 1, relative to the probability of the most probable token
  int top_k = 0;                 // 0: all
  float repetition_penalty = 1;  // as in Hugging Face transformers: over ids of prompt and output, each once
  std::uint64_t seed = 0;        // the random number of a token depends on the seed and its index alone
  int logprobs = 0;              // most probable tokens to report for each position, 0 … kMaxLogprobs
};

inline constexpr int kMaxLogprobs = 100;

// One token of the output, as it is generated.
struct TokenEvent {
  TokenId token = -1;  // -1: no token, only text that was held back when the request was ended from outside
  std::string text;    // new text: complete UTF-8 characters, never part of a stop string; often empty
  float logprob = 0;   // natural logarithm, after the repetition penalty, before the temperature
  std::vector<std::pair<TokenId, float>> top;  // the SamplingParams::logprobs most probable, best first
};

// Wall-clock milliseconds; they include work for other requests in the same steps. Their sum is the time from
// submit to the end.
struct Timings {
  double queue_ms = 0;    // until the request was admitted
  double vision_ms = 0;   // steps that encoded its pictures
  double prefill_ms = 0;  // the remaining time until its first token
  double decode_ms = 0;   // from the first token on
};

}  // namespace glmocr
