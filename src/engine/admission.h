// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>

#include "engine/engine.h"
#include "engine/scheduler.h"

namespace glmocr::engine {

// The engine's limits, from its options and the model: what may be in one step, in the pool, in one sequence.
struct EngineLimits {
  std::int64_t pages = 0;       // of the pool
  std::int64_t page_bytes = 0;  // of all layers
  std::int64_t context = 0;     // tokens of one sequence, prompt and output
  std::int64_t workspace = 0;   // arena bytes a step may take; 0: no limit
  PlanLimits plan;
};

// Throws Error{usage} for options out of range and Error{memory} where not even one page, or one row, fits.
EngineLimits engine_limits(const GlmOcr& model, const EngineOptions& options);

// What Engine::submit promises: Error{input} for what makes no sense, Error{memory} for what can never fit.
void check_request(const Request& request, const GlmOcr& model, const EngineLimits& limits);

}  // namespace glmocr::engine
