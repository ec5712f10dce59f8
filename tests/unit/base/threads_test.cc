// SPDX-License-Identifier: Apache-2.0
#include "base/threads.h"

#include <gtest/gtest.h>

#include <atomic>
#include <mutex>
#include <set>
#include <stdexcept>
#include <thread>
#include <vector>

namespace glmocr {
namespace {

TEST(ThreadPool, CoversEveryIndexOnce) {
  for (const int threads : {1, 2, 5}) {
    ThreadPool pool(threads);
    EXPECT_EQ(pool.size(), threads);
    for (const std::int64_t count : {0, 1, 2, 7, 64, 1000}) {
      for (const std::int64_t grain : {1, 3, 64, 5000}) {
        std::vector<std::atomic<int>> visits(static_cast<std::size_t>(count));
        pool.parallel_for(count, grain, [&](std::int64_t begin, std::int64_t end) {
          EXPECT_LT(begin, end);
          EXPECT_LE(end - begin, grain);
          for (std::int64_t i = begin; i < end; ++i) ++visits[i];
        });
        for (const auto& v : visits) ASSERT_EQ(v, 1) << threads << " threads, " << count << " by " << grain;
      }
    }
  }
}

TEST(ThreadPool, GrainBelowOneIsOne) {
  ThreadPool pool(2);
  std::atomic<int> visits{0};
  pool.parallel_for(10, 0,
                    [&](std::int64_t begin, std::int64_t end) { visits += static_cast<int>(end - begin); });
  EXPECT_EQ(visits, 10);
}

TEST(ThreadPool, WorkersTakePart) {
  ThreadPool pool(3);
  std::mutex mutex;
  std::set<std::thread::id> ids;
  std::atomic<int> arrived{0};
  pool.parallel_for(3, 1, [&](std::int64_t, std::int64_t) {
    {
      const std::lock_guard lock(mutex);
      ids.insert(std::this_thread::get_id());
    }
    ++arrived;
    while (arrived < 3) std::this_thread::yield();  // ends only when three threads are here at once
  });
  EXPECT_EQ(ids.size(), 3u);
  EXPECT_TRUE(ids.count(std::this_thread::get_id()));
}

TEST(ThreadPool, RethrowsTheFirstExceptionAndGoesOn) {
  for (const int threads : {1, 4}) {
    ThreadPool pool(threads);
    for (int round = 0; round < 20; ++round) {
      EXPECT_THROW(pool.parallel_for(100, 1,
                                     [&](std::int64_t begin, std::int64_t) {
                                       if (begin == 37) throw std::runtime_error("37");
                                     }),
                   std::runtime_error);
      std::atomic<int> visits{0};
      pool.parallel_for(50, 1, [&](std::int64_t, std::int64_t) { ++visits; });
      EXPECT_EQ(visits, 50);
    }
  }
}

TEST(ThreadPool, ManyShortLoopsOnOnePool) {
  ThreadPool pool(3);
  std::int64_t expected = 0;
  std::atomic<std::int64_t> sum{0};
  for (int i = 0; i < 3000; ++i) {
    pool.parallel_for(i % 7, 1, [&](std::int64_t begin, std::int64_t) { sum += begin + 1; });
    expected += (i % 7) * (i % 7 + 1) / 2;
  }
  EXPECT_EQ(sum, expected);
}

TEST(ThreadPool, DefaultCountIsPositiveAndWithinTheMachine) {
  EXPECT_GE(default_thread_count(), 1);
  EXPECT_LE(default_thread_count(), 4096);
}

}  // namespace
}  // namespace glmocr
