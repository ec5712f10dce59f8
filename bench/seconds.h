// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <algorithm>
#include <chrono>

namespace glmocr {

// The time of the shortest of several runs that together take at least a quarter of a second, after one to
// warm up.
template <class Run>
double seconds(Run run) {
  using Clock = std::chrono::steady_clock;
  run();
  double best = 1e30, total = 0;
  for (int i = 0; i < 3 || total < 0.25; ++i) {
    const auto start = Clock::now();
    run();
    const double taken = std::chrono::duration<double>(Clock::now() - start).count();
    best = std::min(best, taken);
    total += taken;
  }
  return best;
}

}  // namespace glmocr
