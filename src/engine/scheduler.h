// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <vector>

#include "glmocr/engine.h"

namespace glmocr::engine {

struct PictureState {
  std::int64_t patches = 0;
  double flop = 0;  // floating-point operations of encoding it
};

// What the planner knows of one request.
struct SequenceState {
  bool running = false;                // admitted; the others wait
  std::int64_t prompt = 0;             // tokens of the prompt
  std::int64_t tokens = 0;             // prompt and output so far
  std::int64_t cached = 0;             // tokens whose keys and values are in the cache: the first ones
  std::int64_t pages = 0;              // that the sequence has
  std::vector<PictureState> pictures;  // whose encoding has not begun, in order
  std::optional<std::size_t> batch;    // index of the batch that encodes some of its pictures
};

// Pictures that are being encoded together, since an earlier step.
struct BatchState {
  std::int64_t patches = 0;
  double flop_left = 0;
};

// What the planner knows besides.
struct PlanState {
  std::int64_t free_pages = 0;
  std::vector<BatchState> batches;
  // The most patches that half-encoded pictures may have together, by memory.
  std::int64_t most_patches = std::numeric_limits<std::int64_t>::max();
  // This step serves the oldest request first; otherwise the one with the least work.
  bool oldest_first = false;
  std::int64_t drafts = 0;  // tokens guessed after the next one and checked in the same step
  // While pictures are encoded, texts wait for a later step.
  bool texts_wait = false;
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

// Begins to encode the next `count` pictures of a sequence.
struct PlannedPictures {
  std::size_t sequence = 0;
  std::size_t count = 0;
  bool operator==(const PlannedPictures&) const = default;
};

inline constexpr int kMostOvertakes = 7;

// One step, in the order it is carried out. Sequences are indices into the list given to plan().
struct Plan {
  std::vector<std::size_t> preempt;  // lose their pages and wait again, to be recomputed
  std::vector<std::size_t> admit;
  // The pictures of this step: a new batch, or one that goes on, or none.
  std::vector<PlannedPictures> pictures;
  std::optional<std::size_t> batch;
  std::vector<StepRows> rows;
  bool oldest_waits = false;  // the oldest with pictures to encode, or with a prompt to run, was passed over

  bool empty() const {
    return preempt.empty() && admit.empty() && pictures.empty() && !batch && rows.empty();
  }
};

// Decides one step from the requests in order of arrival. A pure function.
//
// The rows that a sequence runs next are a function of that sequence alone, so its results do not depend on
// the other requests: a chunk of its prompt, which ends at a multiple of prefill_chunk or at the prompt's
// end; after the prompt, up to kFewRows tokens of its output (several only when it is recomputed, or with
// drafts). All of these rows run in the step, or none.
//
// Every running sequence whose prompt has been run gets its rows, unless texts wait for pictures. The others, once
// their pictures are encoded, get their chunks, as long as the chunks of the step have at most prefill_chunk rows
// in total. Those with the least left of their prompt come first, so that a short request does not wait for a long
// one.
//
// Pictures are encoded in batches of at most vision_patches patches, a larger picture alone; one batch a step, for as
// long as the device's slice of a step. The batch with the least left comes first: a small picture overtakes a large
// one that is half encoded. In steps with oldest_first the oldest request comes first in both respects, so that a
// large picture or a long prompt ends even among an endless stream of small ones. The engine asks for such a step when
// the oldest was passed over kMostOvertakes times in a row.
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
// (EngineLimits::plan).
Plan plan(std::span<const SequenceState> sequences, const PlanState& state, const EngineOptions& limits);

}  // namespace glmocr::engine
