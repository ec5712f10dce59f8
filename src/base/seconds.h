// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <algorithm>
#include <ctime>

namespace glmocr {

// What a benchmark measures by: the time that passes, or the processor time of the whole process, which counts well
// on a machine where others run, and only where all of the process's threads work.
enum class Clock { wall, processor };

// Seconds since an unspecified moment.
inline double seconds_now(Clock clock = Clock::wall) {
  std::timespec time{};
  ::clock_gettime(clock == Clock::wall ? CLOCK_MONOTONIC : CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

// The time of the shortest of several runs that together take at least a quarter of a second, after one to
// warm up.
template <class Run>
double seconds(Run run, Clock clock = Clock::wall) {
  run();
  double best = 1e30, total = 0;
  for (int i = 0; i < 3 || total < 0.25; ++i) {
    const double start = seconds_now(clock);
    run();
    const double taken = seconds_now(clock) - start;
    best = std::min(best, taken);
    total += taken;
  }
  return best;
}

}  // namespace glmocr
