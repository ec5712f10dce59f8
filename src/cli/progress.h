// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <utility>

#include "cli/console.h"

namespace glmocr::cli {

// How far a run has come.
struct ProgressState {
  std::int64_t pages_done = 0, pages = 0;
  std::int64_t tokens = 0;
  double tokens_per_second = 0;
  double elapsed_seconds = 0;
};

// "[#####-----] 12/40 pages  26 pages/min  345 tok/s  1:05 left", shorter than `columns`.
std::string progress_line(const ProgressState& state, int columns);

// While an object exists, a thread of its own redraws the console's status line, on a terminal only.
class Progress {
 public:
  // `state` returns pages and tokens, and is called until the destructor returns.
  Progress(Console& console, std::function<ProgressState()> state);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

 private:
  using Clock = std::chrono::steady_clock;
  void draw();

  Console& console_;
  std::function<ProgressState()> state_;
  Clock::time_point start_ = Clock::now();
  std::deque<std::pair<Clock::time_point, std::int64_t>> history_;  // tokens at times of the last seconds
  std::mutex mutex_;
  std::condition_variable stopping_;
  bool stop_ = false;  // guarded by mutex_
  std::thread thread_;
};

}  // namespace glmocr::cli
