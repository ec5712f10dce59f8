// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <atomic>
#include <functional>
#include <string>
#include <thread>

namespace glmocr::cli {

// From now on the process ends with a message and exit code 4 where a mapped file, which holds weights, can
// no longer be read because it was truncated or its disk failed (SIGBUS). While an InterruptWatcher exists,
// it is told instead.
void handle_lost_files();

// What to say then; file: its name, or that of the snapshot.
std::string lost_file_message(const std::string& file);

// While an object exists, the first SIGINT or SIGTERM calls `on_interrupt` on a thread of its own instead of
// ending the process; a second one ends it as usual. A signal that was ignored when the process began (nohup,
// a background job of a shell) stays ignored. One at a time.
//
// Where a mapped file is lost, the thread that read it stops for good, with the locks that it holds, and
// `on_lost_file` is called with the name of the file, or "", to end the process.
class InterruptWatcher {
 public:
  InterruptWatcher(std::function<void()> on_interrupt,
                   std::function<void(const std::string& file)> on_lost_file);
  ~InterruptWatcher();
  InterruptWatcher(const InterruptWatcher&) = delete;
  InterruptWatcher& operator=(const InterruptWatcher&) = delete;

  // The signal that was received, or 0.
  int signal() const { return signal_; }

 private:
  void watch();

  std::function<void()> on_interrupt_;
  std::function<void(const std::string& file)> on_lost_file_;
  std::atomic<int> signal_ = 0;
  std::thread thread_;
};

}  // namespace glmocr::cli
