// SPDX-License-Identifier: Apache-2.0
#include "base/threads.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <mutex>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "glmocr/error.h"
#include "support/temporary_folder.h"

namespace glmocr {
namespace {

TEST(ThreadPool, CoversEveryIndexOnce) {
  for (const int threads : {1, 2, 5}) {
    ThreadPool pool(threads);
    EXPECT_EQ(pool.size(), threads);
    for (const std::int64_t count : {0, 1, 2, 7, 64, 1000}) {
      for (const std::int64_t grain : {1, 3, 64, 5000}) {
        std::vector<std::atomic<int>> visits(count);
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
  pool.parallel_for(10, 0, [&](std::int64_t begin, std::int64_t end) { visits += end - begin; });
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

// Loops of several owners, each of which counts its own.
TEST(ThreadPool, SeveralOwnersTakeTurns) {
  ThreadPool pool(3);
  std::vector<std::thread> owners;
  std::vector<std::int64_t> sums(4);
  for (int owner = 0; owner < 4; ++owner) {
    owners.emplace_back([&, owner] {
      for (int i = 0; i < 500; ++i) {
        std::vector<std::int64_t> squares(20);  // written by the workers, read by the owner
        pool.parallel_for(20, 1, [&](std::int64_t begin, std::int64_t) { squares[begin] = begin * begin; });
        for (const std::int64_t square : squares) sums[owner] += square;
      }
    });
  }
  for (std::thread& owner : owners) owner.join();
  for (const std::int64_t sum : sums) EXPECT_EQ(sum, 500 * 2470);
}

TEST(ThreadPool, OwnersGetTheirOwnExceptions) {
  ThreadPool pool(2);
  std::vector<std::thread> owners;
  for (const bool throws : {false, true, false, true}) {
    owners.emplace_back([&pool, throws] {
      for (int i = 0; i < 200; ++i) {
        const auto loop = [&] {
          pool.parallel_for(8, 1, [&](std::int64_t begin, std::int64_t) {
            if (throws && begin == 5) throw std::runtime_error("5");
          });
        };
        if (throws) {
          EXPECT_THROW(loop(), std::runtime_error);
        } else {
          EXPECT_NO_THROW(loop());
        }
      }
    });
  }
  for (std::thread& owner : owners) owner.join();
}

TEST(ThreadPool, NestedLoopsRunOnTheThreadTheyAreCalledOn) {
  ThreadPool outer(3), other(2);
  std::atomic<int> visits{0};
  for (int round = 0; round < 50; ++round) {
    outer.parallel_for(6, 1, [&](std::int64_t, std::int64_t) {
      const std::thread::id here = std::this_thread::get_id();
      for (ThreadPool* pool : {&outer, &other}) {
        pool->parallel_for(7, 2, [&](std::int64_t begin, std::int64_t end) {
          EXPECT_EQ(std::this_thread::get_id(), here);
          visits += end - begin;
        });
      }
    });
  }
  EXPECT_EQ(visits, 50 * 6 * 2 * 7);
}

// An exception from a nested loop, and what runs after it.
TEST(ThreadPool, ANestedExceptionReachesTheOuterOwner) {
  ThreadPool pool(2);
  EXPECT_THROW(pool.parallel_for(4, 1,
                                 [&](std::int64_t, std::int64_t) {
                                   pool.parallel_for(4, 1, [](std::int64_t, std::int64_t) {
                                     throw std::runtime_error("inner");
                                   });
                                 }),
               std::runtime_error);
  std::mutex mutex;
  std::set<std::thread::id> ids;
  std::atomic<int> arrived{0};
  pool.parallel_for(2, 1, [&](std::int64_t, std::int64_t) {  // both threads take part again
    {
      const std::lock_guard lock(mutex);
      ids.insert(std::this_thread::get_id());
    }
    ++arrived;
    while (arrived < 2) std::this_thread::yield();
  });
  EXPECT_EQ(ids.size(), 2u);
}

TEST(SharedThreadPool, OnePoolPerSizeWhileItIsUsed) {
  const auto a = shared_thread_pool(2), b = shared_thread_pool(2), c = shared_thread_pool(3);
  EXPECT_EQ(a, b);
  EXPECT_NE(a, c);
  EXPECT_EQ(a->size(), 2);
  EXPECT_EQ(c->size(), 3);
  std::weak_ptr<ThreadPool> gone = shared_thread_pool(4);
  EXPECT_TRUE(gone.expired());
  EXPECT_EQ(shared_thread_pool(4)->size(), 4);
}

TEST(SharedThreadPool, FirstCallsFromSeveralThreadsAgree) {
  std::vector<std::shared_ptr<ThreadPool>> pools(8);
  std::vector<std::thread> threads;
  for (auto& pool : pools) threads.emplace_back([&pool] { pool = shared_thread_pool(2); });
  for (std::thread& thread : threads) thread.join();
  for (const auto& pool : pools) EXPECT_EQ(pool, pools[0]);
}

// With an address space in which the stacks of a few threads fit, in a process of its own.
TEST(ThreadPoolDeathTest, AFailureToStartThreadsIsAnErrorAndDoesNotHang) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "sanitizers reserve more address space than this test allows";
#endif
  const auto start = [] {
    struct rlimit limit = {};
    ::getrlimit(RLIMIT_AS, &limit);
    limit.rlim_cur = std::min<rlim_t>(limit.rlim_max, rlim_t{1} << 30);
    ::setrlimit(RLIMIT_AS, &limit);
    try {
      ThreadPool pool(5000);
    } catch (const Error& error) {
      std::exit(error.code() == ErrorCode::device ? 17 : 1);
    }
    std::exit(0);
  };
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(start(), testing::ExitedWithCode(17), "");
}

// A tree of groups, as systemd and Slurm make them: the quota stands in the group itself or above it.
TEST(ThreadCount, QuotasOfTheGroupAndOfThoseAboveItCount) {
  const TemporaryFolder root;
  const auto write = [&](const std::string& group, const std::string& name, const std::string& content) {
    std::filesystem::create_directories(root.path() / group);
    std::ofstream(root.path() / group / name) << content << "\n";
  };
  write("system.slice/job.service/inner", "cpu.max", "max 100000");
  write("system.slice/job.service", "cpu.max", "150000 100000");
  write("system.slice", "cpu.max", "800000 100000");
  EXPECT_EQ(cgroup_cpu_limit("0::/system.slice/job.service/inner\n", root.path()), 2);
  EXPECT_EQ(cgroup_cpu_limit("0::/system.slice\n", root.path()), 8);
  EXPECT_EQ(cgroup_cpu_limit("0::/elsewhere\n", root.path()), 0);
  EXPECT_EQ(cgroup_cpu_limit("", root.path()), 0);

  write("cpu/slurm/job", "cpu.cfs_quota_us", "-1");
  write("cpu/slurm/job", "cpu.cfs_period_us", "100000");
  write("cpu/slurm", "cpu.cfs_quota_us", "50000");
  write("cpu/slurm", "cpu.cfs_period_us", "100000");
  EXPECT_EQ(cgroup_cpu_limit("5:memory:/slurm\n4:cpu,cpuacct:/slurm/job\n0::/\n", root.path()), 1);
  EXPECT_EQ(cgroup_cpu_limit("4:cpuset:/slurm/job\nnonsense\n", root.path()), 0);

  write("", "cpu.max", "300000 100000");  // of a container, which sees its own group as the root
  EXPECT_EQ(cgroup_cpu_limit("0::/docker/0123\n", root.path()), 3);
  EXPECT_EQ(cgroup_cpu_limit("", root.path()), 3);
}

TEST(ThreadPool, DefaultCountIsPositiveAndWithinTheMachine) {
  EXPECT_GE(default_thread_count(), 1);
  EXPECT_LE(default_thread_count(), 4096);
}

}  // namespace
}  // namespace glmocr
