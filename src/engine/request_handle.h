// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <atomic>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>

#include "base/error.h"
#include "engine/request.h"

namespace glmocr::engine {

// The caller's end of a request. Any thread may use it, also after the engine is gone: the engine's
// destructor finishes every request.
class RequestHandle {
 public:
  // Waits for the end. May be called again. Does not throw what the request failed with: see
  // Completion::error.
  Completion wait() const;
  bool done() const;

  // Asks for the end; the engine obeys at its next step. What was generated until then stays.
  void cancel() { cancelled_ = true; }

  // The next event of the stream, waiting for it; none when the request has ended and all were taken. Each
  // event is given once.
  std::optional<TokenEvent> next();

  // The engine's end.
  bool cancel_requested() const { return cancelled_; }
  void publish(const TokenEvent& event);
  void finish(Completion completion);

 private:
  std::atomic<bool> cancelled_ = false;
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  std::deque<TokenEvent> events_;         // guarded by mutex_
  std::optional<Completion> completion_;  // guarded by mutex_; set once
};

}  // namespace glmocr::engine
