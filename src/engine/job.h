// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <atomic>
#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <optional>

#include "glmocr/engine.h"

namespace glmocr {

// What the copies of a Job share with the engine. Callers use it from any thread, even after the engine was
// destroyed: its destructor finishes every request.
struct Job::State {
  using Clock = std::chrono::steady_clock;

  Result wait() const;
  bool done() const;
  void cancel() { cancelled_ = true; }
  NextEvent next(std::optional<Clock::duration> timeout);

  // The engine's side.
  bool cancel_requested() const { return cancelled_; }
  void publish(const TokenEvent& event);
  void finish(Result result);
  void fail(std::exception_ptr error);

 private:
  bool ended() const { return result_ || error_; }  // with mutex_ held
  void end(std::optional<Result> result, std::exception_ptr error);

  std::atomic<bool> cancelled_ = false;
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  std::deque<TokenEvent> events_;  // guarded by mutex_
  std::optional<Result> result_;   // guarded by mutex_; set once, or error_
  std::exception_ptr error_;       // guarded by mutex_
};

// Lets the engine make a Job.
struct JobAccess {
  using State = Job::State;
  static Job make(std::shared_ptr<State> state) {
    Job job;
    job.state_ = std::move(state);
    return job;
  }
};

namespace engine {
using JobState = JobAccess::State;
}

}  // namespace glmocr
