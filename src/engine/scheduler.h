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
  std::int64_t cached = 0;             // of these, the first so many have their keys and values in the cache
  std::int64_t pages = 0;              // held
  std::vector<std::int64_t> pictures;  // patches of those not encoded yet, in order
};

// Rows of a sequence in a step: its tokens [begin, begin + count). The last `logits` of them get logits.
struct StepRows {
  std::size_t sequence = 0;  // index into what the planner was given
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

// One step, in the order it is carried out. Sequences are indices into what the planner was given.
struct Plan {
  std::vector<std::size_t> preempt;  // their pages are taken back and they wait again, to be recomputed
  std::vector<std::size_t> admit;
  std::vector<PlannedPictures> pictures;
  std::vector<StepRows> rows;

  bool empty() const { return preempt.empty() && admit.empty() && pictures.empty() && rows.empty(); }
};

// Decides one step from the requests in order of arrival. A pure function.
//
// The rows that a sequence runs next are a function of that sequence alone, so that what it computes does not depend
// on its company: a chunk of its prompt, which ends at a multiple of prefill_chunk or at the prompt's end, then up to
// kFewRows tokens of its output (several only when it is recomputed, or with drafts). They run whole or not at all.
//
// Every running sequence whose prompt has been run gets its rows. The others, once their pictures are encoded, get
// their chunks, the oldest first, as long as the chunks of a step have no more than prefill_chunk rows together.
//
// Pages are taken as the rows need them. When there are none, the youngest sequence that holds some gives
// them back, if it is younger than the one in need; otherwise that one waits for an older one to end. So the
// oldest always goes on, and nothing waits for ever.
//
// Requests are admitted strictly in order of arrival (a preempted one is older than any that waits), when all
// their tokens have room beside what the running ones still need, and a page is left for the growth of each.
//
// A request must fit when it is alone: pages_for(tokens + 1) at most the pool's pages.
//
// Of the options, page_size, max_sequences, prefill_chunk and vision_patches are read, as the engine has resolved them.
// `drafts`: tokens that may be guessed ahead of the next one and checked in the same step.
Plan plan(std::span<const SequenceState> sequences, std::int64_t free_pages, const EngineOptions& limits,
          std::int64_t drafts = 0);

}  // namespace glmocr::engine
