// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <functional>
#include <memory>

namespace glmocr {

// Threads this process may really use: the affinity mask, capped by the cgroup's CPU quota (rounded up).
int default_thread_count();

// A fixed set of workers for data-parallel loops. The calling thread takes part, so a pool of one has no
// workers. One loop at a time: parallel_for is called by one owner thread.
class ThreadPool {
 public:
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int size() const;

  // Calls body(begin, end) over disjoint ranges of at most `grain` that cover [0, count); ranges are handed
  // out dynamically. Returns when all are done; the first exception a body threw is rethrown here.
  void parallel_for(std::int64_t count, std::int64_t grain,
                    const std::function<void(std::int64_t begin, std::int64_t end)>& body);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace glmocr
