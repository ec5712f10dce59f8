// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <atomic>
#include <chrono>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "base/memory_budget.h"
#include "engine/admission.h"
#include "engine/kv_cache.h"
#include "engine/request_queue.h"
#include "engine/scheduler.h"
#include "engine/sequence.h"
#include "engine/step_runner.h"
#include "engine/text_pace.h"

namespace glmocr::engine {

// One device of an engine, without a thread: any thread submits requests to the queue, and one thread runs the steps. The
// device, and the members that are neither const nor guarded by mutex_, are used by that thread alone.
class Core {
 public:
  // The model and its device must outlive the core; nothing else may use the device meanwhile. The limits are those of the
  // queue. Throws as the constructor of Engine does.
  Core(std::shared_ptr<RequestQueue> queue, const GlmOcr& model);
  // With a queue of its own.
  Core(const GlmOcr& model, const EngineOptions& options);
  ~Core();  // cancels what still runs
  Core(const Core&) = delete;
  Core& operator=(const Core&) = delete;

  // Any thread; as Engine::submit.
  std::shared_ptr<JobState> submit(Request request) { return queue_->submit(std::move(request)); }
  // Any thread. What waits in the queue is not counted.
  EngineStats stats() const;
  // Any thread. Ends run(), of all cores of the queue.
  void close() { queue_->close(); }

  // On the engine's thread. step runs one step and returns false when there was nothing to do; run runs steps
  // until the queue is closed or the device is lost.
  bool step();
  void run();

  const EngineLimits& limits() const { return limits_; }
  const RequestQueue& queue() const { return *queue_; }
  const std::string& device() const { return name_; }
  bool lost() const { return lost_; }  // any thread: the device does not work any more

 private:
  struct InFlight {
    StepRunner::Ticket ticket;
    std::vector<StepRows> rows;
    Sequence::Clock::time_point begin;
  };

  // The parts of a step, in their order.
  bool take_requests();
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
  bool device_is_lost() const;
  void leave(const Error& error);
  void report_load();
  void publish_stats();

  Sequence& sequence(const StepRows& rows) { return *sequences_[rows.sequence]; }

  const GlmOcr& model_;
  const std::shared_ptr<RequestQueue> queue_;
  const EngineLimits& limits_;  // of the queue
  const std::string name_;      // of the device
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
  std::atomic<bool> lost_ = false;  // the device
  std::size_t member_ = 0;          // of the queue

  mutable std::mutex mutex_;
  EngineStats stats_;  // guarded by mutex_
};

// What is taken of the device's budget, without the workspace that an engine or a forward pass before left.
std::int64_t memory_used(Device& device);

}  // namespace glmocr::engine
