// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <memory>

#include "engine/request.h"
#include "engine/request_handle.h"
#include "models/glm_ocr/glm_ocr.h"

// The names of this room live in glmocr::engine: the public facade (include/glmocr) has an Engine of its own.
// FinishReason, SamplingParams, TokenEvent and Timings are the public types of glmocr/types.h.
namespace glmocr::engine {

struct EngineOptions {
  // Bytes for the keys and values of all sequences. 0: room for max(16384, 1024 · max_sequences) tokens, at
  // the most half of the memory there is. The pool is one block; the system commits its pages as they are
  // first used.
  std::int64_t kv_memory = 0;
  // Bytes a step may take from the device's arena; what needs more is refused. 0: no limit but the device's
  // own.
  std::int64_t workspace_memory = 0;
  int page_size = 32;                  // tokens a page
  int max_sequences = 32;              // running at once; the others wait
  int prefill_chunk = 512;             // prompt rows a step, beside one row for every sequence that decodes
  std::int64_t vision_patches = 4096;  // patches encoded in one step; a larger picture goes alone
  // Whether the engine has a thread of its own. Without, somebody calls step(), always on the same thread.
  bool own_thread = true;
};

// A snapshot of the engine's state and counters since it was made.
struct EngineStats {
  std::int64_t waiting = 0, running = 0;  // requests
  std::int64_t total_pages = 0, free_pages = 0, peak_pages = 0;
  int page_size = 0;
  std::int64_t kv_bytes = 0;          // of all pages
  std::int64_t peak_arena_bytes = 0;  // of the device, whoever used it

  std::int64_t finished_requests = 0, failed_requests = 0, preemptions = 0, steps = 0;
  std::int64_t vision_patches = 0;     // encoded
  std::int64_t prompt_tokens = 0;      // rows of prefill, recomputed ones included
  std::int64_t completion_tokens = 0;  // generated
  std::int64_t decode_tokens = 0;      // of these in steps that did nothing else
  std::int64_t decode_steps = 0;       // such steps: each reads the decoder's weights once

  double vision_seconds = 0, prefill_seconds = 0, decode_seconds = 0;  // decode: steps of single rows alone

  double patches_per_second() const {
    return vision_seconds > 0 ? double(vision_patches) / vision_seconds : 0;
  }
  double prefill_tokens_per_second() const {
    return prefill_seconds > 0 ? double(prompt_tokens) / prefill_seconds : 0;
  }
  double decode_tokens_per_second() const {
    return decode_seconds > 0 ? double(decode_tokens) / decode_seconds : 0;
  }
};

// Runs many requests at once over one model: continuous batching over a paged cache of keys and values,
// prompts in chunks. One thread owns the device, the pages and the plan; the others hand in requests and read
// handles. A request that fails ends alone.
class Engine {
 public:
  // The model and its device outlive the engine, and only the engine uses the device meanwhile. Throws
  // Error{usage} for options out of range, Error{memory} where the device cannot hold the pages.
  explicit Engine(const GlmOcr& model, const EngineOptions& options = {});
  ~Engine();  // cancels what still runs and joins the thread
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  // Any thread. Throws Error{input} naming the parameter, its value and its range, and Error{memory} naming
  // the size needed and the size there is when the request could never run. max_tokens beyond the context is
  // allowed: such a text ends as `length`.
  std::shared_ptr<RequestHandle> submit(Request request);

  // own_thread false only: one step. False when there was nothing to do.
  bool step();

  EngineStats stats() const;  // any thread

  // The most tokens that one sequence, prompt and output together, may have: what max_position_embeddings
  // allows and the pages can hold.
  std::int64_t context_limit() const;

  // Bytes of keys and values of one token, in all layers.
  static std::int64_t kv_bytes_per_token(const GlmOcrConfig& config, DType compute);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace glmocr::engine
