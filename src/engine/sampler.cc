// SPDX-License-Identifier: Apache-2.0
#include "engine/sampler.h"

#include <cmath>

#include "base/error.h"

namespace glmocr::engine {
namespace {

template <class T>
void check_range(const char* name, T value, bool ok, const char* range) {
  if (!ok) fail(ErrorCode::input, cat("sampling parameter ", name, " is ", value, ", expected ", range));
}

}  // namespace

void Sampler::check(const SamplingParams& params) {
  const auto in_unit = [](float value) { return value >= 0 && value <= 1; };  // false for NaN
  check_range("temperature", params.temperature, params.temperature >= 0 && std::isfinite(params.temperature),
              "a finite number, 0 or more");
  check_range("top_p", params.top_p, in_unit(params.top_p), "0 to 1");
  check_range("min_p", params.min_p, in_unit(params.min_p), "0 to 1");
  check_range("top_k", params.top_k, params.top_k >= 0, "0 or more");
  check_range("repetition_penalty", params.repetition_penalty,
              params.repetition_penalty > 0 && std::isfinite(params.repetition_penalty),
              "a finite number greater than 0");
  check_range("logprobs", params.logprobs, params.logprobs >= 0 && params.logprobs <= kMaxLogprobs,
              "0 to 100");
  static_assert(kMaxLogprobs == 100);
}

Sampler::Sampler(const SamplingParams& params, std::span<const TokenId> prompt, std::int32_t vocab_limit)
    : params_(params), vocab_limit_(vocab_limit) {
  if (params.repetition_penalty == 1) return;
  is_seen_.resize(static_cast<std::size_t>(vocab_limit));
  for (const TokenId token : prompt) see(token);
}

SampleRow Sampler::row(std::int64_t position) const {
  return {.temperature = params_.temperature,
          .top_p = params_.top_p,
          .min_p = params_.min_p,
          .top_k = params_.top_k,
          .repetition_penalty = params_.repetition_penalty,
          .seen = seen_,
          .seed = params_.seed,
          .position = static_cast<std::uint64_t>(position),
          .vocab_limit = vocab_limit_,
          .top_logprobs = params_.logprobs};
}

void Sampler::see(TokenId token) {
  const auto index = static_cast<std::size_t>(token);
  if (index >= is_seen_.size() || is_seen_[index]) return;
  is_seen_[index] = true;
  seen_.push_back(token);
}

}  // namespace glmocr::engine
