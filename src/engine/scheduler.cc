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
  Planner(std::span<const SequenceState> sequences, const PlanState& state, const EngineOptions& limits)
      : limits_(limits),
        state_(state),
        sequences_(sequences.begin(), sequences.end()),
        free_pages_(state.free_pages),
        prefill_rows_(limits.prefill_chunk) {}

  Plan run() {
    std::vector<bool> prefills(sequences_.size());
    for (const std::size_t i : chosen_prompts()) prefills[i] = true;
    const bool texts_run = !state_.texts_wait || !oldest_with_pictures();
    for (std::size_t i = 0; i < sequences_.size(); ++i) {
      if (is_ready(i) && (in_prompt(i) ? prefills[i] : texts_run)) run_rows(i);
    }
    if (plan_.preempt.empty()) admit();
    encode_pictures();
    plan_.oldest_waits = oldest_picture_waits() || oldest_prompt_waits();
    return std::move(plan_);
  }

 private:
  bool in_prompt(std::size_t i) const { return sequences_[i].cached < sequences_[i].prompt; }
  // Admitted, and no picture is left to encode.
  bool is_ready(std::size_t i) const {
    const SequenceState& s = sequences_[i];
    return s.running && s.pictures.empty() && !s.batch;
  }

  // Indices that satisfy `keep`, those with the least `work` first, or the oldest.
  template <class Keep, class Work>
  std::vector<std::size_t> in_turn(Keep keep, Work work) const {
    std::vector<std::size_t> order;
    for (std::size_t i = 0; i < sequences_.size(); ++i) {
      if (keep(i)) order.push_back(i);
    }
    if (!state_.oldest_first) {
      std::stable_sort(order.begin(), order.end(),
                       [&](std::size_t a, std::size_t b) { return work(a) < work(b); });
    }
    return order;
  }

  // The prompts whose next chunks run in this step, if there are pages for them.
  std::vector<std::size_t> chosen_prompts() const {
    std::vector<std::size_t> chosen;
    std::int64_t rows = prefill_rows_;
    const auto keep = [&](std::size_t i) { return is_ready(i) && in_prompt(i); };
    const auto work = [&](std::size_t i) { return sequences_[i].prompt - sequences_[i].cached; };
    for (const std::size_t i : in_turn(keep, work)) {
      const std::int64_t count = next_rows(i).count;
      if (count > rows) continue;
      rows -= count;
      chosen.push_back(i);
    }
    return chosen;
  }

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
      if (is_ready(i)) run_rows(i);
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

  void encode_pictures() {
    if (state_.oldest_first) {
      const auto oldest = oldest_with_pictures();
      if (oldest) plan_.batch = sequences_[*oldest].batch;
      if (plan_.batch) return;
    }
    const std::vector<BatchState>& begun = state_.batches;
    const auto shortest =
        std::min_element(begun.begin(), begun.end(),
                         [](const BatchState& a, const BatchState& b) { return a.flop_left < b.flop_left; });
    const double flop = choose_pictures();
    if (shortest == begun.end()) return;
    if (!plan_.pictures.empty() && (state_.oldest_first || flop < shortest->flop_left)) return;
    plan_.pictures.clear();
    plan_.batch = shortest - begun.begin();
  }

  std::optional<std::size_t> oldest_with_pictures() const {
    for (std::size_t i = 0; i < sequences_.size(); ++i) {
      const SequenceState& s = sequences_[i];
      if (s.running && (s.batch || !s.pictures.empty())) return i;
    }
    return std::nullopt;
  }

  bool oldest_picture_waits() const {
    const auto oldest = oldest_with_pictures();
    if (!oldest || (plan_.batch && sequences_[*oldest].batch == plan_.batch)) return false;
    return std::none_of(plan_.pictures.begin(), plan_.pictures.end(),
                        [&](const PlannedPictures& planned) { return planned.sequence == *oldest; });
  }

  bool oldest_prompt_waits() const {
    for (std::size_t i = 0; i < sequences_.size(); ++i) {
      if (!is_ready(i) || !in_prompt(i)) continue;
      return std::none_of(plan_.rows.begin(), plan_.rows.end(),
                          [&](const StepRows& rows) { return rows.sequence == i; });
    }
    return false;
  }

  // Fills plan_.pictures with a new batch and returns its work.
  double choose_pictures() {
    std::int64_t held = 0;
    for (const BatchState& batch : state_.batches) held += batch.patches;
    std::int64_t patches = 0;
    double flop = 0;
    const auto keep = [&](std::size_t i) {
      return sequences_[i].running && !sequences_[i].batch && !sequences_[i].pictures.empty();
    };
    const auto work = [&](std::size_t i) {
      double sum = 0;
      for (const PictureState& picture : sequences_[i].pictures) sum += picture.flop;
      return sum;
    };
    bool full = false;  // what does not fit must not wait for ever behind smaller ones: nothing else begins
    for (const std::size_t i : in_turn(keep, work)) {
      std::size_t count = 0;
      for (const PictureState& picture : sequences_[i].pictures) {
        const bool first = patches == 0, fits = patches + picture.patches <= limits_.vision_patches;
        const bool has_memory =
            held + patches + picture.patches <= state_.most_patches || (first && held == 0);
        full = full || !has_memory;
        if (!(fits || first) || full) break;
        patches += picture.patches;
        flop += picture.flop;
        ++count;
      }
      if (count > 0) plan_.pictures.push_back({i, count});
    }
    return flop;
  }

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
    const bool decodes = s.cached >= s.prompt && rows.count <= 1 + state_.drafts;
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
  const PlanState& state_;
  std::vector<SequenceState> sequences_;  // their state after what is planned so far
  std::int64_t free_pages_;
  std::int64_t prefill_rows_;
  Plan plan_;
};

}  // namespace

// Where the shortest prompt waits for pages, the oldest may be able to go on: it can take those of younger ones.
Plan plan(std::span<const SequenceState> sequences, const PlanState& state, const EngineOptions& limits) {
  Plan result = Planner(sequences, state, limits).run();
  if (!result.empty() || state.oldest_first) return result;
  PlanState oldest_first = state;
  oldest_first.oldest_first = true;
  return Planner(sequences, oldest_first, limits).run();
}

}  // namespace glmocr::engine
