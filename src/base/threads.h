// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>

namespace glmocr {

// The number of threads this process may use: the affinity mask, capped by the cgroup's CPU quota (rounded
// up).
int default_thread_count();

// The CPUs that the quotas of this process's cgroups and of all groups above them allow, rounded up; 0: no limit.
// `groups`: the content of /proc/self/cgroup; `root`: where cgroups are mounted.
int cgroup_cpu_limit(const std::string& groups, const std::filesystem::path& root);

// A fixed set of workers for data-parallel loops. The calling thread takes part, so a pool of one has no
// workers. Any thread may call parallel_for: the pool runs one loop at a time, others wait for it. A loop
// started inside the body of another, of whichever pool, runs on the calling thread alone.
class ThreadPool {
 public:
  // Throws Error{device} where the system cannot start that many threads.
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int size() const;

  // Calls body(begin, end) over disjoint ranges of at most `grain` that cover [0, count); ranges are handed
  // out dynamically. Returns when all are done; the first exception a body threw is rethrown here. Takes no
  // memory from the system.
  void parallel_for(std::int64_t count, std::int64_t grain,
                    const std::function<void(std::int64_t begin, std::int64_t end)>& body);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// The process's shared pool of this many threads: made at the first call, destroyed with its last user.
// Devices that share it never run more threads than one of them would.
std::shared_ptr<ThreadPool> shared_thread_pool(int threads);

}  // namespace glmocr
