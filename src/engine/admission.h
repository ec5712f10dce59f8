// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>

#include "engine/request.h"
#include "engine/scheduler.h"
#include "engine/step_runner.h"

namespace glmocr::engine {

// Part of the memory for what operations take beside the workspace, such as the states of attention whose keys are
// split: it grows with contexts and rows.
inline constexpr std::int64_t kScratchShare = 32;

// The engine's limits, from its options, the model and the memory budget.
struct EngineLimits {
  std::int64_t pages = 0;       // of the pool
  std::int64_t page_bytes = 0;  // of all layers
  std::int64_t context = 0;     // tokens of one sequence, prompt and output
  std::int64_t workspace = 0;   // arena bytes that are reserved for a step; 0: none, the arena grows
  std::int64_t scratch = 0;     // bytes reserved with it for what operations take besides
  std::int64_t pictures = 0;    // bytes of pixels and features of all requests; 0: no limit
  // Patches of the largest picture that can be encoded, and of all that may be half encoded; 0: no limit.
  std::int64_t picture_patches = 0, encoding_patches = 0;
  EngineOptions plan;  // the options with zeros replaced, and smaller steps where memory is short

  StepLimits step() const {
    return {.sequences = plan.max_sequences, .prefill_rows = plan.prefill_chunk, .context = context};
  }
};

// Divides what the budget leaves after the `used` bytes of the loaded model. Throws Error{usage} for options
// out of range and Error{memory} naming the smallest limit that would do.
EngineLimits engine_limits(const GlmOcr& model, const EngineOptions& options, std::int64_t used);

// Throws Error{memory} naming the smallest limit that would do where `limit` leaves too little, after the
// `used` bytes of the loaded model, for an engine that reads the smallest picture.
void check_memory(const GlmOcr& model, const EngineOptions& options, std::int64_t limit, std::int64_t used);

// How an engine with these options would divide the budget. Throws as engine_limits does.
MemoryPlan memory_plan(const GlmOcr& model, const EngineOptions& options, std::int64_t used);

// Bytes of the request's pictures and their features, taken from submit on.
std::int64_t picture_bytes(const GlmOcr& model, const Request& request);

// Throws Error{input} for an invalid request and Error{memory} for one that can never fit (Engine::submit).
void check_request(const Request& request, const GlmOcr& model, const EngineLimits& limits);

}  // namespace glmocr::engine
