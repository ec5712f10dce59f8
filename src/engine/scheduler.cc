// SPDX-License-Identifier: Apache-2.0
#include "engine/scheduler.h"

#include <algorithm>

#include "base/error.h"
#include "engine/kv_cache.h"
#include "tensor/ops.h"

namespace glmocr::engine {
namespace {

class Planner {
 public:
  Planner(std::span<const SequenceState> sequences, std::int64_t free_pages, const EngineOptions& limits,
          std::int64_t drafts)
      : limits_(limits),
        drafts_(drafts),
        sequences_(sequences.begin(), sequences.end()),
        free_pages_(free_pages),
        prefill_rows_(limits.prefill_chunk),
        patches_(limits.vision_patches) {}

  Plan run() {
    for (std::size_t i = 0; i < sequences_.size(); ++i) {
      if (sequences_[i].running) schedule(i);
    }
    if (plan_.preempt.empty()) admit();
    return std::move(plan_);
  }

 private:
  void admit() {
    std::int64_t running =
        std::count_if(sequences_.begin(), sequences_.end(), [](const SequenceState& s) { return s.running; });
    for (std::size_t i = 0; i < sequences_.size() && running < limits_.max_sequences; ++i) {
      if (sequences_[i].running) continue;
      const std::int64_t needed = pages_for(sequences_[i].tokens + 1, limits_.page_size);
      if (needed + pages_promised() + running > free_pages_) break;  // in order of arrival
      sequences_[i].running = true;
      plan_.admit.push_back(i);
      ++running;
      schedule(i);
    }
  }

  // Pages that the running sequences still need for the tokens they have now.
  std::int64_t pages_promised() const {
    std::int64_t pages = 0;
    for (const SequenceState& s : sequences_) {
      if (s.running) pages += std::max<std::int64_t>(pages_for(s.tokens, limits_.page_size) - s.pages, 0);
    }
    return pages;
  }

  void schedule(std::size_t i) {
    if (encode_pictures(i)) run_rows(i);
  }

  // True when no picture of the sequence is left to encode after this step.
  bool encode_pictures(std::size_t i) {
    const std::vector<std::int64_t>& pictures = sequences_[i].pictures;
    std::size_t count = 0;
    while (count < pictures.size() && (pictures[count] <= patches_ || is_first_picture(count))) {
      patches_ -= pictures[count++];
    }
    if (count > 0) plan_.pictures.push_back({i, count});
    return count == pictures.size();
  }

  // A picture larger than vision_patches is encoded alone.
  bool is_first_picture(std::size_t count) const { return plan_.pictures.empty() && count == 0; }

  void run_rows(std::size_t i) {
    SequenceState& s = sequences_[i];
    const StepRows rows = next_rows(i);
    const bool of_prompt = rows.begin < s.prompt;
    if (of_prompt && rows.count > prefill_rows_) return;
    const std::int64_t needed = std::max<std::int64_t>(pages_for(rows.end(), limits_.page_size) - s.pages, 0);
    make_room(i, needed);
    if (needed > free_pages_) return;
    free_pages_ -= needed;
    s.pages += needed;
    if (of_prompt) prefill_rows_ -= rows.count;
    plan_.rows.push_back(rows);
  }

  StepRows next_rows(std::size_t i) const {
    const SequenceState& s = sequences_[i];
    StepRows rows{.sequence = i, .begin = s.cached};
    if (s.cached < s.prompt) {
      const std::int64_t chunk_end = (s.cached / limits_.prefill_chunk + 1) * limits_.prefill_chunk;
      rows.count = std::min(chunk_end, s.prompt) - s.cached;
    } else {
      rows.count = std::min<std::int64_t>(s.tokens - s.cached, kFewRows);
    }
    if (rows.end() < s.tokens) return rows;
    const bool decodes = s.cached >= s.prompt && rows.count <= 1 + drafts_;
    rows.logits = decodes ? rows.count : 1;
    return rows;
  }

  // Preempts sequences younger than i, the youngest first, until `pages` are free or no such sequence is
  // left. They come after i in this step, so nothing was planned for them yet.
  void make_room(std::size_t i, std::int64_t pages) {
    for (std::size_t victim = sequences_.size(); pages > free_pages_ && --victim > i;) {
      SequenceState& s = sequences_[victim];
      if (!s.running || s.pages == 0) continue;
      free_pages_ += s.pages;
      s.pages = s.cached = 0;
      s.running = false;
      plan_.preempt.push_back(victim);
    }
  }

  const EngineOptions& limits_;
  std::int64_t drafts_;
  std::vector<SequenceState> sequences_;  // their state after what is planned so far
  std::int64_t free_pages_;
  std::int64_t prefill_rows_;
  std::int64_t patches_;
  Plan plan_;
};

}  // namespace

Plan plan(std::span<const SequenceState> sequences, std::int64_t free_pages, const EngineOptions& limits,
          std::int64_t drafts) {
  return Planner(sequences, free_pages, limits, drafts).run();
}

}  // namespace glmocr::engine
