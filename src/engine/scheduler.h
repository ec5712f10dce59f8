// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace glmocr::engine {

// What the planner knows of one request.
struct SequenceState {
  bool running = false;                // admitted; the others wait
  std::int64_t tokens = 0;             // prompt and output so far
  std::int64_t cached = 0;             // of these, the first so many have their keys and values in the cache
  std::int64_t pages = 0;              // held
  std::vector<std::int64_t> pictures;  // patches of those not encoded yet, in order
};

struct PlanLimits {
  std::int64_t page_size = 32;
  std::int64_t max_sequences = 32;     // running at once
  std::int64_t prefill_chunk = 512;    // rows of prefill a step
  std::int64_t vision_patches = 4096;  // patches a step; a larger picture goes alone
};

// Runs the tokens [begin, begin + count) of a sequence. `sample`: the last is the last there is, so its
// logits give the next token.
struct PlannedRows {
  std::size_t sequence = 0;
  std::int64_t begin = 0;
  std::int64_t count = 0;
  bool sample = false;
  bool operator==(const PlannedRows&) const = default;
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
  std::vector<PlannedRows> rows;

  bool empty() const { return preempt.empty() && admit.empty() && pictures.empty() && rows.empty(); }
};

// Decides one step from the requests in order of arrival. A pure function.
//
// Every running sequence with one token left to run (it decodes) gets its row. The others share prefill_chunk
// rows, the oldest first, once their pictures are encoded.
//
// Pages are taken as the rows need them. When there are none, the youngest sequence that holds some gives
// them back, if it is younger than the one in need; otherwise that one waits for an older one to end. So the
// oldest always goes on, and nothing waits for ever.
//
// Requests are admitted strictly in order of arrival (a preempted one is older than any that waits), when all
// their tokens have room beside what the running ones still need, and a page is left for the growth of each.
//
// A request must fit when it is alone: pages_for(tokens + 1) at most the pool's pages.
Plan plan(std::span<const SequenceState> sequences, std::int64_t free_pages, const PlanLimits& limits);

}  // namespace glmocr::engine
