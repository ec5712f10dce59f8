// SPDX-License-Identifier: Apache-2.0
#include "base/threads.h"

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <mutex>
#include <sstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/error.h"

namespace glmocr {
namespace {

namespace fs = std::filesystem;

// Quota over period, rounded up to whole CPUs; 0: no limit.
int whole_cpus(double quota, double period) {
  return quota > 0 && period > 0 ? static_cast<int>(std::ceil(quota / period)) : 0;
}

// The limit of one group, 0 where it has none. Version 2 has one file, with "max 100000" or "200000 100000"; version 1
// has two.
int limit_of_group(const fs::path& group) {
  double quota = 0, period = 0;
  if (std::ifstream file(group / "cpu.max"); file) {
    std::string text;
    return file >> text >> period && text != "max" ? whole_cpus(std::strtod(text.c_str(), nullptr), period)
                                                   : 0;
  }
  std::ifstream quota_file(group / "cpu.cfs_quota_us"), period_file(group / "cpu.cfs_period_us");
  return quota_file >> quota && period_file >> period ? whole_cpus(quota, period) : 0;
}

int smaller_limit(int a, int b) { return a == 0 || b == 0 ? std::max(a, b) : std::min(a, b); }

void pause_briefly() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

// About 20 microseconds: operations of a decode step follow each other faster than a sleeping thread wakes
// up.
constexpr int kSpins = 1000;

thread_local bool inside_loop = false;  // this thread runs the body of a pool's loop

}  // namespace

int cgroup_cpu_limit(const std::string& groups, const fs::path& root) {
  int limit = smaller_limit(limit_of_group(root), limit_of_group(root / "cpu"));
  std::istringstream lines(groups);
  for (std::string line; std::getline(lines, line);) {
    const std::size_t first = line.find(':'), second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = cat(",", line.substr(first + 1, second - first - 1), ",");
    const bool version2 = controllers == ",,";
    if (!version2 && controllers.find(",cpu,") == std::string::npos) continue;
    fs::path group = fs::path(line.substr(second + 1)).relative_path();
    for (; !group.empty(); group = group.parent_path()) {  // a group has what those above it leave
      limit = smaller_limit(limit, limit_of_group((version2 ? root : root / "cpu") / group));
    }
  }
  return limit;
}

int default_thread_count() {
  int threads = std::thread::hardware_concurrency();
  cpu_set_t mask;
  if (::sched_getaffinity(0, sizeof mask, &mask) == 0) threads = CPU_COUNT(&mask);
  std::ifstream file("/proc/self/cgroup");
  const std::string groups((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  const int limit = cgroup_cpu_limit(groups, "/sys/fs/cgroup");
  if (limit > 0) threads = std::min(threads, limit);
  return std::max(threads, 1);
}

// Who may enter the current loop, and who is inside, in one word: workers come and go without a lock, and the
// owner of a loop waits for those that have entered it alone. A worker that the system has not woken yet, or
// has taken off its CPU between two loops, holds up nobody.
struct ThreadPool::State {
  static constexpr std::uint32_t kInside = 0xffff;       // the workers inside
  static constexpr std::uint32_t kOpen = kInside + 1;    // the loop may be entered
  static constexpr std::uint32_t kNextLoop = 2 * kOpen;  // the loop's number, modulo 2^15
  static constexpr std::uint32_t kLoop = ~(kInside | kOpen);

  std::vector<std::thread> workers;
  std::mutex loop;  // held by the thread whose loop runs
  std::atomic<std::uint32_t> gate{0};
  std::atomic<std::uint32_t> emptied{0};  // counts the closed loops whose last worker has left
  std::atomic<bool> stopping{false};

  // Written by the owner while the gate is closed and nobody is inside.
  const std::function<void(std::int64_t, std::int64_t)>* body = nullptr;
  std::int64_t count = 0;
  std::int64_t grain = 1;
  std::atomic<std::int64_t> next{0};

  std::mutex error_mutex;
  std::exception_ptr error;  // guarded by error_mutex

  ~State() {
    stopping.store(true, std::memory_order_relaxed);
    gate.fetch_add(kNextLoop, std::memory_order_release);
    gate.notify_all();
    for (std::thread& worker : workers) worker.join();
  }

  void work() {
    inside_loop = true;
    for (;;) {
      const std::int64_t begin = next.fetch_add(grain, std::memory_order_relaxed);
      if (begin >= count) break;
      try {
        (*body)(begin, std::min(begin + grain, count));
      } catch (...) {
        const std::lock_guard lock(error_mutex);
        if (!error) error = std::current_exception();
        next.store(count, std::memory_order_relaxed);
      }
    }
    inside_loop = false;
  }

  // Enters the open loop unless its number is `last`, the one this worker was in before.
  bool enter(std::uint32_t& last) {
    std::uint32_t now = gate.load(std::memory_order_relaxed);
    while ((now & kOpen) && (now & kLoop) != last) {
      if (gate.compare_exchange_weak(now, now + 1, std::memory_order_acquire, std::memory_order_relaxed)) {
        last = now & kLoop;
        return true;
      }
    }
    return false;
  }

  void leave() {
    const std::uint32_t before = gate.fetch_sub(1, std::memory_order_release);
    if ((before & (kInside | kOpen)) != 1) return;
    emptied.fetch_add(1, std::memory_order_release);
    emptied.notify_one();
  }

  void worker_loop() {
    std::uint32_t last = 0;
    for (;;) {
      const std::uint32_t now = gate.load(std::memory_order_acquire);
      bool entered = enter(last);
      for (int i = 0; i < kSpins && !entered; ++i) {
        pause_briefly();
        entered = enter(last);
      }
      if (entered) {
        work();
        leave();
      } else {
        if (stopping.load(std::memory_order_relaxed)) return;
        gate.wait(now, std::memory_order_acquire);
      }
    }
  }

  void open() {
    const std::uint32_t number = gate.load(std::memory_order_relaxed) + kNextLoop;
    gate.store(number | kOpen, std::memory_order_release);
    gate.notify_all();
  }

  bool empty() const { return (gate.load(std::memory_order_acquire) & kInside) == 0; }

  void close_and_wait() {
    gate.fetch_and(~kOpen, std::memory_order_relaxed);
    for (int i = 0; i < kSpins && !empty(); ++i) pause_briefly();
    for (;;) {
      const std::uint32_t before = emptied.load(std::memory_order_acquire);
      if (empty()) return;
      emptied.wait(before, std::memory_order_acquire);
    }
  }
};

ThreadPool::ThreadPool(int threads) : state_(std::make_unique<State>()) {
  GLMOCR_CHECK(threads >= 1);
  try {
    for (int i = 1; i < threads; ++i)
      state_->workers.emplace_back([state = state_.get()] { state->worker_loop(); });
  } catch (const std::exception& error) {  // the state joins those that were started
    fail(ErrorCode::device, cat("cannot start ", threads, " threads: ", error.what()));
  }
}

ThreadPool::~ThreadPool() = default;

int ThreadPool::size() const { return std::ssize(state_->workers) + 1; }

void ThreadPool::parallel_for(std::int64_t count, std::int64_t grain,
                              const std::function<void(std::int64_t, std::int64_t)>& body) {
  if (count <= 0) return;
  State& state = *state_;
  grain = std::max<std::int64_t>(grain, 1);
  if (state.workers.empty() || count <= grain || inside_loop) {
    for (std::int64_t begin = 0; begin < count; begin += grain) body(begin, std::min(begin + grain, count));
    return;
  }
  const std::lock_guard loop(state.loop);
  state.body = &body;
  state.count = count;
  state.grain = grain;
  state.next.store(0, std::memory_order_relaxed);
  state.open();
  state.work();
  state.close_and_wait();
  if (state.error) std::rethrow_exception(std::exchange(state.error, nullptr));
}

std::shared_ptr<ThreadPool> shared_thread_pool(int threads) {
  static std::mutex mutex;
  static std::map<int, std::weak_ptr<ThreadPool>> pools;
  const std::lock_guard lock(mutex);
  std::weak_ptr<ThreadPool>& known = pools[threads];
  std::shared_ptr<ThreadPool> pool = known.lock();
  if (!pool) known = pool = std::make_shared<ThreadPool>(threads);
  return pool;
}

}  // namespace glmocr
