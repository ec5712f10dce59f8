// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "engine/request.h"
#include "tensor/ops.h"

namespace glmocr::engine {

// Policy and state of one request's sampling; ops::sample does the arithmetic.
class Sampler {
 public:
  // Throws Error{input} naming the parameter, its value and its range.
  static void check(const SamplingParams& params);

  // vocab_limit: ids from here on have no token (padding rows of lm_head) and are never chosen.
  Sampler(const SamplingParams& params, std::span<const TokenId> prompt, std::int32_t vocab_limit);

  // How the token of index `position` in its sequence is chosen. Valid until the next accept.
  SampleRow row(std::int64_t position) const;

  void accept(TokenId token) { see(token); }

 private:
  void see(TokenId token);

  SamplingParams params_;
  std::int32_t vocab_limit_;
  std::vector<bool> is_seen_;  // [vocab_limit]; empty without a penalty
  std::vector<TokenId> seen_;  // ids of prompt and output, each once
};

}  // namespace glmocr::engine
