// SPDX-License-Identifier: Apache-2.0
#include "base/threads.h"

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <exception>
#include <fstream>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/error.h"

namespace glmocr {
namespace {

// The CPUs that the cgroup allows, rounded up; 0 where there is no limit. Version 2 has one file, with "max
// 100000" or "200000 100000"; version 1 has two.
int cgroup_cpu_limit() {
  const auto to_threads = [](double quota, double period) -> int {
    return quota > 0 && period > 0 ? (quota + period - 1) / period : 0;
  };
  if (std::ifstream file("/sys/fs/cgroup/cpu.max"); file) {
    std::string quota;
    double period = 0;
    if (file >> quota >> period && quota != "max")
      return to_threads(std::strtod(quota.c_str(), nullptr), period);
    return 0;
  }
  std::ifstream quota_file("/sys/fs/cgroup/cpu/cpu.cfs_quota_us");
  std::ifstream period_file("/sys/fs/cgroup/cpu/cpu.cfs_period_us");
  double quota = 0, period = 0;
  return quota_file >> quota && period_file >> period ? to_threads(quota, period) : 0;
}

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

int default_thread_count() {
  int threads = std::thread::hardware_concurrency();
  cpu_set_t mask;
  if (::sched_getaffinity(0, sizeof mask, &mask) == 0) threads = CPU_COUNT(&mask);
  if (const int limit = cgroup_cpu_limit(); limit > 0) threads = std::min(threads, limit);
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
