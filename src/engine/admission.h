// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>

#include "engine/request.h"
#include "engine/scheduler.h"
#include "engine/step_runner.h"

namespace glmocr::engine {

// The engine's limits, from its options, the model and the memory budget: what may be in one step, in the pool, in one
// sequence.
struct EngineLimits {
  std::int64_t pages = 0;       // of the pool
  std::int64_t page_bytes = 0;  // of all layers
  std::int64_t context = 0;     // tokens of one sequence, prompt and output
  std::int64_t workspace = 0;   // arena bytes that a step may take and that are reserved; 0: as needed
  std::int64_t pictures = 0;    // bytes of pixels and features that all requests may hold; 0: no limit
  EngineOptions plan;           // resolved: no zeros, and smaller steps where the memory is short

  StepLimits step() const {
    return {.sequences = plan.max_sequences, .prefill_rows = plan.prefill_chunk, .context = context};
  }
};

// Shares out what the budget leaves beside the `used` bytes. Throws Error{usage} for options out of range and
// Error{memory} naming the smallest limit that would do.
EngineLimits engine_limits(const GlmOcr& model, const EngineOptions& options, std::int64_t used);

// Throws Error{memory} naming the smallest limit that would do where this one, beside the `used` bytes of the loaded
// model, leaves too little for an engine that reads the smallest picture.
void check_memory(const GlmOcr& model, const EngineOptions& options, std::int64_t limit, std::int64_t used);

// What an engine with these options would do with the budget beside the `used` bytes of the loaded model. Throws as
// engine_limits does.
MemoryPlan memory_plan(const GlmOcr& model, const EngineOptions& options, std::int64_t used);

// Bytes that the request's pictures and their features hold from submit on.
std::int64_t picture_bytes(const GlmOcr& model, const Request& request);

// What Engine::submit promises: Error{input} for what makes no sense, Error{memory} for what can never fit.
void check_request(const Request& request, const GlmOcr& model, const EngineLimits& limits);

}  // namespace glmocr::engine
