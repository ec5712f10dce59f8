// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <span>

#include "tensor/ops.h"

namespace glmocr {

// Uniform in [0, 1), a function of (seed, position) alone, so that a request's text does not depend on its
// batch.
double uniform_from(std::uint64_t seed, std::uint64_t position);

// Chooses one token from a row of fp32 logits, which it may change. In the order of Hugging Face's
// processors: repetition penalty, temperature, top_k, top_p, min_p.
SampledToken sample_row(std::span<float> logits, const SampleRow& row);

}  // namespace glmocr
