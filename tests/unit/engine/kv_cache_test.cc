// SPDX-License-Identifier: Apache-2.0
#include "engine/kv_cache.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "base/memory_budget.h"
#include "kernels/kernels.h"
#include "support/expect_error.h"

namespace glmocr::engine {
namespace {

TEST(PagesFor, RoundsUp) {
  EXPECT_EQ(pages_for(0, 32), 0);
  EXPECT_EQ(pages_for(1, 32), 1);
  EXPECT_EQ(pages_for(32, 32), 1);
  EXPECT_EQ(pages_for(33, 32), 2);
}

TEST(PagePool, HandsOutEveryPageOnce) {
  PagePool pool(10);
  std::vector<std::int32_t> a, b;
  pool.take(4, a);
  pool.take(6, b);
  std::set<std::int32_t> all(a.begin(), a.end());
  all.insert(b.begin(), b.end());
  EXPECT_EQ(all.size(), 10u);
  EXPECT_EQ(*all.begin(), 0);
  EXPECT_EQ(*all.rbegin(), 9);
  EXPECT_EQ(pool.free(), 0);
}

TEST(PagePool, BeginsWithTheLowestPagesAndReusesTheLast) {
  PagePool pool(100);
  std::vector<std::int32_t> pages;
  pool.take(3, pages);
  EXPECT_EQ(pages, (std::vector<std::int32_t>{0, 1, 2}));
  pool.give_back(pages);
  EXPECT_TRUE(pages.empty());
  pool.take(4, pages);
  EXPECT_EQ(pages, (std::vector<std::int32_t>{0, 1, 2, 3}));
}

TEST(PagePool, CountsFreePagesAndThePeak) {
  PagePool pool(8);
  std::vector<std::int32_t> a, b;
  pool.take(5, a);
  pool.give_back(a);
  pool.take(2, b);
  EXPECT_EQ(pool.free(), 6);
  EXPECT_EQ(pool.peak(), 5);
  EXPECT_EQ(pool.size(), 8);
}

TEST(PagePool, MoreThanThereAreIsOurOwnBug) {
  PagePool pool(2);
  std::vector<std::int32_t> pages;
  EXPECT_THROW(pool.take(3, pages), Error);
  EXPECT_EQ(pool.free(), 2);
}

TEST(KvCache, HasAPageForEachOfThePool) {
  const auto device = open_device("ref");
  KvCache cache(*device, {.layers = 3, .kv_heads = 2, .head_dim = 12, .pages = 5, .page_size = 7});
  EXPECT_EQ(cache.pool().size(), 5);
  EXPECT_EQ(cache.page_size(), 7);
  EXPECT_EQ(cache.store().spec().pages, 5);
}

TEST(KvCache, ReportsWhatTheDeviceCannotHold) {
  const auto device = open_device("ref", {.threads = 1, .memory = std::make_shared<MemoryBudget>(1000)});
  const KvSpec spec{.layers = 3, .kv_heads = 2, .head_dim = 12, .pages = 5, .page_size = 7};
  expect_error(ErrorCode::memory, {"keys and values"}, [&] { KvCache(*device, spec); });
}

}  // namespace
}  // namespace glmocr::engine
