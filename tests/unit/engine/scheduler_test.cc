// SPDX-License-Identifier: Apache-2.0
#include "engine/scheduler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "base/error.h"
#include "engine/kv_cache.h"

namespace glmocr::engine {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr EngineOptions kLimits{
    .max_sequences = 3, .page_size = 4, .prefill_chunk = 8, .vision_patches = 100};

// Pictures of so many patches, each of which costs as many operations.
std::vector<PictureState> pictures_of(const std::vector<std::int64_t>& patches) {
  std::vector<PictureState> pictures;
  for (const std::int64_t count : patches) pictures.push_back({count, static_cast<double>(count)});
  return pictures;
}

SequenceState waiting(std::int64_t prompt, const std::vector<std::int64_t>& pictures = {}) {
  return {.prompt = prompt, .tokens = prompt, .pictures = pictures_of(pictures)};
}

// Running, with pictures that have not begun.
SequenceState unread(std::int64_t prompt, const std::vector<std::int64_t>& pictures) {
  SequenceState state = waiting(prompt, pictures);
  state.running = true;
  return state;
}

// Running, with pictures in a batch.
SequenceState encoding(std::int64_t prompt, std::size_t batch) {
  return {.running = true, .prompt = prompt, .tokens = prompt, .batch = batch};
}

// In the middle of its prompt.
SequenceState prefilling(std::int64_t prompt, std::int64_t cached) {
  return {.running = true,
          .prompt = prompt,
          .tokens = prompt,
          .cached = cached,
          .pages = pages_for(cached, kLimits.page_size)};
}

// After a prompt of 4 tokens; `cached` is smaller than tokens - 1 while it is recomputed.
SequenceState running(std::int64_t tokens, std::int64_t cached) {
  SequenceState state = prefilling(4, cached);
  state.tokens = tokens;
  return state;
}

Plan plan(std::span<const SequenceState> sequences, std::int64_t free_pages, const EngineOptions& limits,
          std::int64_t drafts = 0) {
  return plan(sequences, {.free_pages = free_pages, .drafts = drafts}, limits);
}

StepRows rows(std::size_t sequence, std::int64_t begin, std::int64_t count, std::int64_t logits) {
  return {sequence, begin, count, logits};
}

TEST(Plan, NothingToDo) { EXPECT_TRUE(plan({}, 10, kLimits).empty()); }

TEST(Plan, AdmitsAndBeginsInTheSameStep) {
  const Plan p = plan(std::vector{waiting(5)}, 10, kLimits);
  EXPECT_THAT(p.admit, ElementsAre(0));
  EXPECT_THAT(p.rows, ElementsAre(rows(0, 0, 5, 1)));
  EXPECT_THAT(p.preempt, IsEmpty());
}

TEST(Plan, PromptsComeInChunksAndOnlyTheLastGetsLogits) {
  EXPECT_THAT(plan(std::vector{waiting(20)}, 10, kLimits).rows, ElementsAre(rows(0, 0, 8, 0)));
  EXPECT_THAT(plan(std::vector{prefilling(20, 8)}, 8, kLimits).rows, ElementsAre(rows(0, 8, 8, 0)));
  EXPECT_THAT(plan(std::vector{prefilling(20, 16)}, 6, kLimits).rows, ElementsAre(rows(0, 16, 4, 1)));
}

TEST(Plan, DecodingNeverWaitsForPrefill) {
  const Plan p = plan(std::vector{prefilling(100, 40), running(10, 9), waiting(6)}, 50, kLimits);
  EXPECT_THAT(p.admit, ElementsAre(2));
  EXPECT_THAT(p.rows, ElementsAre(rows(0, 40, 8, 0), rows(1, 9, 1, 1)));
}

TEST(Plan, ChunksAreNotCutToShareAStep) {
  const Plan p = plan(std::vector{prefilling(5, 0), prefilling(5, 0), prefilling(3, 0)}, 50, kLimits);
  EXPECT_THAT(p.rows, ElementsAre(rows(0, 0, 5, 1), rows(2, 0, 3, 1)));
}

TEST(Plan, TheShortestPromptComesFirstUnlessTheOldestIsDue) {
  const std::vector states{prefilling(100, 40), prefilling(6, 0)};
  const Plan shortest = plan(states, {.free_pages = 50}, kLimits);
  EXPECT_THAT(shortest.rows, ElementsAre(rows(1, 0, 6, 1)));
  EXPECT_TRUE(shortest.oldest_waits);
  const Plan oldest = plan(states, {.free_pages = 50, .oldest_first = true}, kLimits);
  EXPECT_THAT(oldest.rows, ElementsAre(rows(0, 40, 8, 0)));
  EXPECT_FALSE(oldest.oldest_waits);
}

// The short prompt has no page and may take none of an older request; the long one can take those of the text.
TEST(Plan, TheOldestGoesOnWhereTheShortestCannot) {
  const Plan p = plan(std::vector{prefilling(100, 40), running(9, 8), prefilling(6, 0)}, 0, kLimits);
  EXPECT_THAT(p.preempt, ElementsAre(1));
  EXPECT_THAT(p.rows, ElementsAre(rows(0, 40, 8, 0)));
}

// A sequence runs the same rows alone and together with any others.
TEST(Plan, TheRowsOfASequenceDoNotDependOnTheOthers) {
  const std::vector<SequenceState> mine{prefilling(20, 8), running(40, 4), running(40, 39)};
  for (const SequenceState& state : mine) {
    const Plan alone = plan(std::vector{state}, 50, kLimits);
    ASSERT_EQ(alone.rows.size(), 1u);
    for (const SequenceState& other : mine) {
      for (const StepRows& r : plan(std::vector{other, state}, 50, kLimits).rows) {
        if (r.sequence != 1) continue;
        EXPECT_EQ(rows(0, r.begin, r.count, r.logits), alone.rows[0]);
      }
    }
  }
}

TEST(Plan, OutputIsRecomputedInSmallGroups) {
  EXPECT_THAT(plan(std::vector{running(40, 4)}, 50, kLimits).rows, ElementsAre(rows(0, 4, 16, 0)));
  EXPECT_THAT(plan(std::vector{running(40, 36)}, 50, kLimits).rows, ElementsAre(rows(0, 36, 4, 1)));
}

TEST(Plan, DraftsGetLogitsOfTheirOwn) {
  EXPECT_THAT(plan(std::vector{running(40, 36)}, 50, kLimits, 3).rows, ElementsAre(rows(0, 36, 4, 4)));
  EXPECT_THAT(plan(std::vector{running(40, 35)}, 50, kLimits, 3).rows, ElementsAre(rows(0, 35, 5, 1)));
}

TEST(Plan, AtMostMaxSequencesRun) {
  const Plan p = plan(std::vector{waiting(2), waiting(2), waiting(2), waiting(2)}, 50, kLimits);
  EXPECT_THAT(p.admit, ElementsAre(0, 1, 2));
}

TEST(Plan, NobodyOvertakesOneThatDoesNotFitYet) {
  // The second needs 6 pages of 4 and one stays for the growth of the first; the third would fit.
  EXPECT_THAT(plan(std::vector{running(5, 4), waiting(20), waiting(2)}, 7, kLimits).admit, IsEmpty());
  EXPECT_THAT(plan(std::vector{running(5, 4), waiting(20), waiting(2)}, 8, kLimits).admit, ElementsAre(1));
}

TEST(Plan, AdmissionCountsWhatRunningPromptsStillNeed) {
  // The first holds 2 pages and will need 5 more, of which it takes 2 now.
  EXPECT_THAT(plan(std::vector{prefilling(28, 8), waiting(3)}, 6, kLimits).admit, IsEmpty());
  EXPECT_THAT(plan(std::vector{prefilling(28, 8), waiting(3)}, 7, kLimits).admit, ElementsAre(1));
}

TEST(Plan, ARequestThatFillsThePoolIsAdmittedAlone) {
  EXPECT_THAT(plan(std::vector{waiting(39)}, 10, kLimits).admit, ElementsAre(0));
}

TEST(Plan, TheYoungestIsPreemptedWhenPagesRunOut) {
  const Plan p = plan(std::vector{running(9, 8), running(9, 8), running(9, 8)}, 0, kLimits);
  EXPECT_THAT(p.preempt, ElementsAre(2));
  EXPECT_THAT(p.rows, ElementsAre(rows(0, 8, 1, 1), rows(1, 8, 1, 1)));
  EXPECT_THAT(p.admit, IsEmpty());
}

TEST(Plan, TheYoungestWaitsInsteadOfPreemptingItself) {
  const Plan p = plan(std::vector{running(6, 5), running(9, 8)}, 0, kLimits);
  EXPECT_THAT(p.preempt, IsEmpty());
  EXPECT_THAT(p.rows, ElementsAre(rows(0, 5, 1, 1)));
}

TEST(Plan, OneWithoutPagesIsNoVictim) {
  SequenceState encoding = prefilling(50, 0);
  encoding.pictures = pictures_of({400, 400});
  const Plan p = plan(std::vector{running(9, 8), running(9, 8), encoding}, 0, kLimits);
  EXPECT_THAT(p.preempt, ElementsAre(1));
  EXPECT_THAT(p.pictures, ElementsAre(PlannedPictures{2, 1}));
}

TEST(Plan, AChunkWaitsForAllItsPages) {
  EXPECT_THAT(plan(std::vector{prefilling(9, 8), prefilling(30, 8)}, 2, kLimits).rows,
              ElementsAre(rows(0, 8, 1, 1)));
  EXPECT_THAT(plan(std::vector{prefilling(9, 8), prefilling(30, 8)}, 3, kLimits).rows,
              ElementsAre(rows(0, 8, 1, 1)));  // the chunk of the second has 8 rows, 7 are left in this step
  EXPECT_THAT(plan(std::vector{running(9, 8), prefilling(30, 8)}, 3, kLimits).rows,
              ElementsAre(rows(0, 8, 1, 1), rows(1, 8, 8, 0)));
}

TEST(Plan, AnOlderPromptTakesPagesOfYoungerTexts) {
  const Plan p = plan(std::vector{prefilling(30, 8), running(10, 9)}, 0, kLimits);
  EXPECT_THAT(p.preempt, ElementsAre(1));
  EXPECT_THAT(p.rows, ElementsAre(rows(0, 8, 8, 0)));
}

TEST(Plan, PromptsWaitForTheirPictures) {
  const Plan p = plan(std::vector{waiting(6, {60, 60})}, 50, kLimits);
  EXPECT_THAT(p.pictures, ElementsAre(PlannedPictures{0, 1}));
  EXPECT_THAT(p.rows, IsEmpty());
}

TEST(Plan, PicturesOfSeveralRequestsAreEncodedTogether) {
  const Plan p = plan(std::vector{waiting(6, {40}), waiting(6, {30, 20}), waiting(6, {20})}, 50, kLimits);
  EXPECT_THAT(p.pictures, ElementsAre(PlannedPictures{2, 1}, PlannedPictures{0, 1}, PlannedPictures{1, 1}));
  EXPECT_THAT(p.rows, IsEmpty());
}

TEST(Plan, ALargePictureGoesAlone) {
  EXPECT_THAT(plan(std::vector{waiting(6, {500, 4})}, 50, kLimits).pictures,
              ElementsAre(PlannedPictures{0, 1}));
  EXPECT_THAT(plan(std::vector{waiting(6, {500}), waiting(6, {4})}, 50, kLimits).pictures,
              ElementsAre(PlannedPictures{1, 1}));
}

TEST(Plan, APictureThatIsBegunGoesOn) {
  const Plan p = plan(std::vector{encoding(6, 0), unread(6, {90})},
                      {.free_pages = 50, .batches = {{.patches = 100, .flop_left = 60}}}, kLimits);
  EXPECT_EQ(p.batch, 0u);
  EXPECT_THAT(p.pictures, IsEmpty());
}

TEST(Plan, ASmallPictureOvertakesALargeOneThatIsBegun) {
  const std::vector states{encoding(6, 0), unread(6, {90})};
  PlanState state{.free_pages = 50, .batches = {{.patches = 1000, .flop_left = 600}}};
  const Plan small = plan(states, state, kLimits);
  EXPECT_THAT(small.pictures, ElementsAre(PlannedPictures{1, 1}));
  EXPECT_FALSE(small.batch);
  EXPECT_TRUE(small.oldest_waits);
  state.oldest_first = true;
  const Plan large = plan(states, state, kLimits);
  EXPECT_EQ(large.batch, 0u);
  EXPECT_FALSE(large.oldest_waits);
}

TEST(Plan, OfTwoBatchesTheOneWithLessLeftGoesOn) {
  const Plan p = plan(std::vector{encoding(6, 0), encoding(6, 1)},
                      {.free_pages = 50, .batches = {{1000, 600}, {100, 90}}}, kLimits);
  EXPECT_EQ(p.batch, 1u);
}

TEST(Plan, APictureBeginsOnlyWhereThereIsMemoryForIt) {
  const std::vector states{encoding(6, 0), unread(6, {90})};
  PlanState state{.free_pages = 50, .batches = {{1000, 600}}, .most_patches = 1089};
  EXPECT_EQ(plan(states, state, kLimits).batch, 0u);
  state.most_patches = 1090;
  EXPECT_THAT(plan(states, state, kLimits).pictures, ElementsAre(PlannedPictures{1, 1}));
}

TEST(Plan, TextsWaitForPicturesButNotForNothing) {
  PlanState state{.free_pages = 50, .texts_wait = true};
  EXPECT_THAT(plan(std::vector{running(9, 8), unread(6, {90})}, state, kLimits).rows, IsEmpty());
  EXPECT_THAT(plan(std::vector{running(9, 8), prefilling(6, 0)}, state, kLimits).rows,
              ElementsAre(rows(0, 8, 1, 1), rows(1, 0, 6, 1)));
}

// The oldest waits for memory: small pictures that would fit do not begin, so that it gets free.
TEST(Plan, NothingOvertakesThePictureThatIsDueAndWaitsForMemory) {
  const Plan p =
      plan(std::vector{unread(6, {900}), encoding(6, 0), unread(6, {9})},
           {.free_pages = 50, .batches = {{200, 150}}, .most_patches = 1000, .oldest_first = true}, kLimits);
  EXPECT_EQ(p.batch, 0u);
  EXPECT_THAT(p.pictures, IsEmpty());
  EXPECT_TRUE(p.oldest_waits);
}

// A workload run through the planner as the engine would, without a device.
class Simulation {
 public:
  struct Job {
    std::int64_t prompt, output;
    std::vector<std::int64_t> pictures;
    std::int64_t arrival;  // step
    SequenceState state{};
    std::int64_t generated = 0;
    bool admitted_once = false;
  };

  Simulation(std::vector<Job> jobs, std::int64_t pages, const EngineOptions& limits)
      : jobs_(std::move(jobs)), free_(pages), pages_(pages), limits_(limits) {}

  void run(int max_steps) {
    for (step_ = 0; step_ < max_steps && finished_ < jobs_.size(); ++step_) run_step();
    EXPECT_EQ(finished_, jobs_.size()) << "requests starve";
    EXPECT_EQ(free_, pages_);
  }

  std::int64_t preemptions = 0;
  std::vector<std::size_t> admitted;  // jobs, when first admitted

 private:
  void run_step() {
    std::vector<std::size_t> live;
    std::vector<SequenceState> states;
    for (std::size_t j = 0; j < jobs_.size(); ++j) {
      Job& job = jobs_[j];
      if (job.arrival > step_ || job.generated == job.output) continue;
      if (job.state.tokens == 0) {
        job.state.prompt = job.state.tokens = job.prompt;
        job.state.pictures = pictures_of(job.pictures);
      }
      live.push_back(j);
      states.push_back(job.state);
    }
    PlanState state{.free_pages = free_, .oldest_first = overtaken_ >= kMostOvertakes};
    for (const Batch& batch : batches_) state.batches.push_back({batch.patches, batch.left});
    state.most_patches = kMostPatches;
    const Plan p = plan(states, state, limits_);
    overtaken_ = p.oldest_waits ? overtaken_ + 1 : 0;
    EXPECT_TRUE(states.empty() || !p.empty()) << "a step without progress";
    for (const std::size_t i : p.preempt) preempt(jobs_[live[i]]);
    for (const std::size_t i : p.admit) admit(live[i]);
    encode(p, live);
    run_rows(p, live);
    check_decodes(p, states);
  }

  void preempt(Job& job) {
    ++preemptions;
    free_ += job.state.pages;
    job.state.pages = job.state.cached = 0;
    job.state.running = false;
    job.state.pictures = pictures_of(job.pictures);
    EXPECT_FALSE(job.state.batch);
  }

  void admit(std::size_t j) {
    jobs_[j].state.running = true;
    if (!jobs_[j].admitted_once) admitted.push_back(j);
    jobs_[j].admitted_once = true;
    const auto count =
        std::count_if(jobs_.begin(), jobs_.end(), [](const Job& job) { return job.state.running; });
    EXPECT_LE(count, limits_.max_sequences);
  }

  // A batch takes as many steps as its work demands at kSlice a step.
  void encode(const Plan& p, const std::vector<std::size_t>& live) {
    EXPECT_TRUE(!p.batch || p.pictures.empty());
    if (!p.batch && p.pictures.empty()) return;
    if (!p.batch) begin(p, live);
    const std::size_t index = p.batch.value_or(batches_.size() - 1);
    ASSERT_LT(index, batches_.size());
    batches_[index].left -= kSlice;
    if (batches_[index].left > 0) return;
    batches_.erase(batches_.begin() + static_cast<std::ptrdiff_t>(index));
    for (Job& job : jobs_) {
      auto& batch = job.state.batch;
      if (batch == index) batch.reset();
      if (batch && *batch > index) --*batch;
    }
  }

  void begin(const Plan& p, const std::vector<std::size_t>& live) {
    Batch batch;
    std::int64_t count = 0;
    for (const PlannedPictures& planned : p.pictures) {
      SequenceState& s = jobs_[live[planned.sequence]].state;
      ASSERT_FALSE(s.batch);
      for (std::size_t i = 0; i < planned.count; ++i, ++count) batch.patches += s.pictures[i].patches;
      s.pictures.erase(s.pictures.begin(), s.pictures.begin() + static_cast<std::ptrdiff_t>(planned.count));
      s.batch = batches_.size();
    }
    batch.left = static_cast<double>(batch.patches);
    EXPECT_TRUE(count == 1 || batch.patches <= limits_.vision_patches);
    batches_.push_back(batch);
    std::int64_t held = 0;
    for (const Batch& b : batches_) held += b.patches;
    EXPECT_TRUE(batches_.size() == 1 || held <= kMostPatches);
  }

  void run_rows(const Plan& p, const std::vector<std::size_t>& live) {
    std::int64_t prefill = 0;
    for (const StepRows& planned : p.rows) {
      Job& job = jobs_[live[planned.sequence]];
      SequenceState& s = job.state;
      ASSERT_TRUE(s.running && s.pictures.empty() && !s.batch);
      ASSERT_EQ(planned.begin, s.cached);
      ASSERT_GT(planned.count, 0);
      if (s.cached < s.prompt) prefill += planned.count;
      const std::int64_t pages = std::max(pages_for(planned.end(), limits_.page_size), s.pages);
      free_ -= pages - s.pages;
      ASSERT_GE(free_, 0) << "more pages than there are";
      s.pages = pages;
      s.cached += planned.count;
      ASSERT_EQ(planned.logits, s.cached == s.tokens ? 1 : 0);
      if (planned.logits == 1) take_token(job);
    }
    EXPECT_LE(prefill, limits_.prefill_chunk);
  }

  void take_token(Job& job) {
    ++job.state.tokens;
    if (++job.generated < job.output) return;
    ++finished_;
    free_ += job.state.pages;
    job.state = {};
  }

  // Every sequence that can decode and has a page for it decodes in every step.
  static void check_decodes(const Plan& p, const std::vector<SequenceState>& states) {
    for (std::size_t i = 0; i < states.size(); ++i) {
      const SequenceState& s = states[i];
      const bool has_page = s.cached < s.pages * 4;
      if (!s.running || s.cached < s.prompt || s.tokens - s.cached != 1 || !has_page) continue;
      const bool runs =
          std::any_of(p.rows.begin(), p.rows.end(), [&](const auto& r) { return r.sequence == i; });
      const bool preempted = std::find(p.preempt.begin(), p.preempt.end(), i) != p.preempt.end();
      EXPECT_TRUE(runs || preempted);
    }
  }

  struct Batch {
    std::int64_t patches = 0;
    double left = 0;
  };
  static constexpr double kSlice = 20;
  static constexpr std::int64_t kMostPatches = 100;

  std::vector<Job> jobs_;
  std::vector<Batch> batches_;
  int overtaken_ = 0;
  std::int64_t free_, pages_;
  EngineOptions limits_;
  std::int64_t step_ = 0;
  std::size_t finished_ = 0;
};

TEST(PlanSimulation, EveryRequestEndsInOrderOfAdmissionWhateverTheLoad) {
  std::int64_t preemptions = 0;
  for (unsigned seed = 0; seed < 300; ++seed) {
    std::mt19937 random(seed);
    const auto between = [&](int low, int high) {
      return low + static_cast<int>(random() % unsigned(high - low + 1));
    };
    const std::int64_t pages = between(5, 40);
    const EngineOptions limits{.max_sequences = between(1, 8),
                               .page_size = 4,
                               .prefill_chunk = between(1, 20),
                               .vision_patches = between(1, 60)};
    std::vector<Simulation::Job> jobs;
    for (int j = 0; j < 25; ++j) {
      const int prompt = between(1, static_cast<int>(pages) * 4 - 1);
      Simulation::Job job{prompt, between(1, static_cast<int>(pages) * 4 - prompt), {}, between(0, 40)};
      for (int i = between(0, 3); i > 0; --i) job.pictures.push_back(between(4, 80));
      jobs.push_back(std::move(job));
    }
    std::sort(jobs.begin(), jobs.end(), [](const auto& a, const auto& b) { return a.arrival < b.arrival; });
    Simulation simulation(std::move(jobs), pages, limits);
    simulation.run(200000);
    EXPECT_TRUE(std::is_sorted(simulation.admitted.begin(), simulation.admitted.end())) << "seed " << seed;
    preemptions += simulation.preemptions;
  }
  EXPECT_GT(preemptions, 100) << "the loads never ran short of pages";
}

TEST(PlanSimulation, PreemptionDoesNotRepeatItselfForEveryToken) {
  std::vector<Simulation::Job> jobs(4, {8, 60, {}, 0});
  Simulation simulation(jobs, 30,
                        {.max_sequences = 4, .page_size = 4, .prefill_chunk = 64, .vision_patches = 100});
  simulation.run(2000);
  EXPECT_GT(simulation.preemptions, 0);
  EXPECT_LE(simulation.preemptions, 12);
}

}  // namespace
}  // namespace glmocr::engine
