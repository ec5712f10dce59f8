// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "glmocr/engine.h"

namespace glmocr::engine {

// What the planner knows of one request.
struct SequenceState {
  bool running = false;                // admitted; the others wait
  std::int64_t prompt = 0;             // tokens of the prompt
  std::int64_t tokens = 0;             // prompt and output so far
  std::int64_t cached = 0;             // tokens whose keys and values are in the cache: the first ones
  std::int64_t pages = 0;              // that the sequence has
  std::vector<std::int64_t> pictures;  // patches of those not encoded yet, in order
};

// Rows of a sequence in a step: its tokens [begin, begin + count). The last `logits` of them get logits.
struct StepRows {
  std::size_t sequence = 0;  // index into the list given to plan()
  std::int64_t begin = 0;
  std::int64_t count = 0;
  std::int64_t logits = 0;
  std::int64_t end() const { return begin + count; }
  bool operator==(const StepRows&) const = default;
};

// Encodes the next `count` pictures of a sequence.
struct PlannedPictures {
  std::size_t sequence = 0;
  std::size_t count = 0;
  bool operator==(const PlannedPictures&) const = default;
};

// One step, in the order it is carried out. Sequences are indices into the list given to plan().
struct Plan {
  std::vector<std::size_t> preempt;  // lose their pages and wait again, to be recomputed
  std::vector<std::size_t> admit;
  std::vector<PlannedPictures> pictures;
  std::vector<StepRows> rows;

  bool empty() const { return preempt.empty() && admit.empty() && pictures.empty() && rows.empty(); }
};

// Decides one step from the requests in order of arrival. A pure function.
//
// The rows that a sequence runs next are a function of that sequence alone, so its results do not depend on
// the other requests: a chunk of its prompt, which ends at a multiple of prefill_chunk or at the prompt's
// end; after the prompt, up to kFewRows tokens of its output (several only when it is recomputed, or with
// drafts). All of these rows run in the step, or none.
//
// Every running sequence whose prompt has been run gets its rows. The others, once their pictures are
// encoded, get their chunks, the oldest first, as long as the chunks of the step have at most prefill_chunk
// rows in total.
//
// Pages are taken as the rows need them. When none are free, the youngest sequence that has pages is
// preempted, if it is younger than the one in need; otherwise the one in need waits for an older one to end.
// So the oldest always makes progress, and every request is served in the end.
//
// Requests are admitted strictly in order of arrival (a preempted one is older than any that was never
// admitted) when the free pages cover all their tokens, the tokens that running sequences have yet to run,
// and one more page for each running sequence.
//
// A request must fit when it is alone: pages_for(tokens + 1) is at most the number of pages in the pool.
//
// Of the limits, page_size, max_sequences, prefill_chunk and vision_patches are read; none is 0
// (EngineLimits::plan). `drafts`: tokens guessed after the next one and checked in the same step.
Plan plan(std::span<const SequenceState> sequences, std::int64_t free_pages, const EngineOptions& limits,
          std::int64_t drafts = 0);

}  // namespace glmocr::engine
