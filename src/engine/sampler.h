// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "glmocr/types.h"
#include "tensor/ops.h"

namespace glmocr::engine {

// The sampling parameters of one request and the ids its penalty applies to; Ops::sample does the arithmetic.
class Sampler {
 public:
  // Throws Error{input} naming the parameter, its value and its range.
  static void check(const SamplingParams& params);

  // vocab_limit: ids from here on have no token (lm_head has padding rows) and are never chosen.
  Sampler(const SamplingParams& params, std::span<const TokenId> prompt, std::int32_t vocab_limit);

  // The parameters for choosing the token of index `position` in its sequence.
  SamplingRow row(std::int64_t position) const;
  // The ids of prompt and output, bit id % 32 of word id / 32; empty without a penalty.
  std::span<const std::uint32_t> seen() const { return seen_; }

  void accept(TokenId token);

 private:
  SamplingParams params_;
  std::int32_t vocab_limit_;
  std::vector<std::uint32_t> seen_;  // [ceil(vocab_limit / 32)]
};

}  // namespace glmocr::engine
