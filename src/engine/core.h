// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <chrono>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "base/memory_budget.h"
#include "engine/admission.h"
#include "engine/kv_cache.h"
#include "engine/scheduler.h"
#include "engine/sequence.h"
#include "engine/step_runner.h"
#include "engine/text_pace.h"

namespace glmocr::engine {

// The engine without a thread: any thread submits requests, and one thread runs the steps. The device, and
// the members that are neither const nor guarded by mutex_, are used by that thread alone.
class Core {
 public:
  // The model and its device must outlive the core; nothing else may use the device meanwhile. Throws as the
  // constructor of Engine does.
  Core(const GlmOcr& model, const EngineOptions& options);
  ~Core();  // cancels what still runs
  Core(const Core&) = delete;
  Core& operator=(const Core&) = delete;

  // Any thread. Throws Error{busy} where no more requests may wait. Called before a request is prepared.
  void check_waiting() const;
  // Any thread; as Engine::submit.
  std::shared_ptr<JobState> submit(Request request);
  EngineStats stats() const;
  // Any thread. Ends run().
  void close();

  // On the engine's thread. step runs one step and returns false when there was nothing to do; run runs steps
  // until close().
  bool step();
  void run();

  const EngineLimits& limits() const { return limits_; }

 private:
  struct InFlight {
    StepRunner::Ticket ticket;
    std::vector<StepRows> rows;
    Sequence::Clock::time_point begin;
  };

  void check_waiting_locked() const;
  MemoryShare memory_for(const Request& request) const;
  bool take_inbox();

  // The parts of a step, in their order.
  void end_interrupted();
  Plan make_plan();
  SequenceState state_of(const Sequence& sequence) const;
  void make_room(const Plan& plan);
  void encode(const Plan& plan);
  void run_rows(const Plan& plan);
  void remove_finished();

  std::optional<std::size_t> begin_pictures(std::span<const PlannedPictures> pictures);
  bool begin_batch(const std::vector<PictureJob>& jobs);
  void split_batch(const std::vector<PictureJob>& jobs, const std::exception_ptr& error);
  std::optional<std::size_t> shortest_batch() const;
  void charge_slice(const PictureBatch& batch, std::chrono::duration<double> time);
  void pictures_done(const PictureBatch& batch);
  void drop_finished_pictures();
  void run_rows(std::span<const StepRows> rows);
  void launch(std::span<const StepRows> rows);
  void launch_ahead();
  void collect();
  void take_results(const InFlight& step, std::span<const SampledToken> tokens);
  void accept(Sequence& sequence, const SampledToken& token);
  void finish(Sequence& sequence, FinishReason reason);
  void fail(Sequence& sequence, std::exception_ptr error);
  void fail_step(const std::exception_ptr& error);
  void publish_stats();

  Sequence& sequence(const StepRows& rows) { return *sequences_[rows.sequence]; }

  const GlmOcr& model_;
  const EngineLimits limits_;
  const std::int64_t max_waiting_;
  const int depth_;
  KvCache cache_;
  StepRunner runner_;
  std::vector<std::unique_ptr<Sequence>> sequences_;  // in order of arrival
  MemoryShare encoding_;                              // of all batches_, where there is a limit
  std::vector<PictureBatch> batches_;                 // that are being encoded
  TextPace pace_;
  Sequence::Clock::time_point results_taken_{};  // of the last step
  int overtaken_ = 0;                            // steps in a row in which Plan::oldest_waits
  std::deque<InFlight> in_flight_;               // steps that were launched and not collected, oldest first
  EngineStats counters_;

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<std::unique_ptr<Sequence>> inbox_;
  EngineStats stats_;
  bool closing_ = false;
};

}  // namespace glmocr::engine
