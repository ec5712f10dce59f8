// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <atomic>
#include <functional>
#include <thread>

namespace glmocr::cli {

// While one lives, the first SIGINT or SIGTERM calls `on_interrupt` on a thread of its own instead of ending
// the process; a second one ends it as usual. A signal that was ignored when the process began (nohup, a
// background job of a shell) stays ignored. One at a time.
class InterruptWatcher {
 public:
  explicit InterruptWatcher(std::function<void()> on_interrupt);
  ~InterruptWatcher();
  InterruptWatcher(const InterruptWatcher&) = delete;
  InterruptWatcher& operator=(const InterruptWatcher&) = delete;

  // The signal that was received, or 0.
  int signal() const { return signal_; }

 private:
  void watch();

  std::function<void()> on_interrupt_;
  std::atomic<int> signal_ = 0;
  std::thread thread_;
};

}  // namespace glmocr::cli
