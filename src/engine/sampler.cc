// SPDX-License-Identifier: Apache-2.0
#include "engine/sampler.h"

#include <cmath>

#include "base/error.h"
#include "base/numbers.h"

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
  seen_.resize(divide_up(vocab_limit, 32));
  for (const TokenId token : prompt) accept(token);
}

SamplingRow Sampler::row(std::int64_t position) const {
  return {.temperature = params_.temperature,
          .top_p = params_.top_p,
          .min_p = params_.min_p,
          .repetition_penalty = params_.repetition_penalty,
          .top_k = params_.top_k,
          .top_logprobs = params_.logprobs,
          .vocab_limit = vocab_limit_,
          .position = static_cast<std::int32_t>(position),
          .seed_low = static_cast<std::uint32_t>(params_.seed),
          .seed_high = static_cast<std::uint32_t>(params_.seed >> 32)};
}

void Sampler::accept(TokenId token) {
  if (token >= 0 && token / 32 < std::ssize(seen_)) seen_[token / 32] |= std::uint32_t{1} << token % 32;
}

}  // namespace glmocr::engine
