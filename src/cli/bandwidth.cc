// SPDX-License-Identifier: Apache-2.0
#include "cli/bandwidth.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <numeric>
#include <vector>

#include "base/threads.h"

namespace glmocr::cli {

double memory_bandwidth(int threads) {
  constexpr std::int64_t kWords = std::int64_t{1} << 25;  // 256 MiB
  constexpr std::int64_t kGrain = std::int64_t{1} << 19;
  constexpr int kPasses = 4;
  const std::vector<std::uint64_t> block(kWords, 1);
  ThreadPool pool(threads);
  std::atomic<std::uint64_t> total = 0;  // so that the compiler keeps the reads
  double best = 0;
  for (int pass = 0; pass < kPasses; ++pass) {
    const auto start = std::chrono::steady_clock::now();
    pool.parallel_for(kWords, kGrain, [&](std::int64_t begin, std::int64_t end) {
      total += std::accumulate(block.begin() + begin, block.begin() + end, std::uint64_t{0});
    });
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    best = std::max(best, 8.0 * kWords / seconds.count() / 1e9);
  }
  return total == std::uint64_t{kPasses} * kWords ? best : 0;
}

}  // namespace glmocr::cli
