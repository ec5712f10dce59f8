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

SequenceState waiting(std::int64_t prompt, std::vector<std::int64_t> pictures = {}) {
  return {.prompt = prompt, .tokens = prompt, .pictures = std::move(pictures)};
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
  encoding.pictures = {400, 400};
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
  EXPECT_THAT(p.pictures, ElementsAre(PlannedPictures{0, 1}, PlannedPictures{1, 2}));
  EXPECT_THAT(p.rows, ElementsAre(rows(0, 0, 6, 1)));
}

TEST(Plan, ALargePictureGoesAlone) {
  const Plan p = plan(std::vector{waiting(6, {500, 4}), waiting(6, {4})}, 50, kLimits);
  EXPECT_THAT(p.pictures, ElementsAre(PlannedPictures{0, 1}));
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
        job.state.pictures = job.pictures;
      }
      live.push_back(j);
      states.push_back(job.state);
    }
    const Plan p = plan(states, free_, limits_);
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
    job.state.pictures = job.pictures;
  }

  void admit(std::size_t j) {
    jobs_[j].state.running = true;
    if (!jobs_[j].admitted_once) admitted.push_back(j);
    jobs_[j].admitted_once = true;
    const auto count =
        std::count_if(jobs_.begin(), jobs_.end(), [](const Job& job) { return job.state.running; });
    EXPECT_LE(count, limits_.max_sequences);
  }

  void encode(const Plan& p, const std::vector<std::size_t>& live) {
    std::int64_t patches = 0, count = 0;
    for (const PlannedPictures& planned : p.pictures) {
      auto& pictures = jobs_[live[planned.sequence]].state.pictures;
      for (std::size_t i = 0; i < planned.count; ++i, ++count) patches += pictures[i];
      pictures.erase(pictures.begin(), pictures.begin() + planned.count);
    }
    EXPECT_TRUE(count <= 1 || patches <= limits_.vision_patches);
  }

  void run_rows(const Plan& p, const std::vector<std::size_t>& live) {
    std::int64_t prefill = 0;
    for (const StepRows& planned : p.rows) {
      Job& job = jobs_[live[planned.sequence]];
      SequenceState& s = job.state;
      ASSERT_TRUE(s.running && s.pictures.empty());
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

  std::vector<Job> jobs_;
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
