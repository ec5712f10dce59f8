// SPDX-License-Identifier: Apache-2.0
#include "engine/kv_cache.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "kernels/kernels.h"

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

TextConfig small_config() {
  TextConfig config;
  config.num_hidden_layers = 3;
  config.num_key_value_heads = 2;
  config.head_dim = 12;
  return config;
}

TEST(KvCache, GivesEveryLayerItsOwnPages) {
  const auto device = open_device("ref");
  KvCache cache(small_config(), DType::bf16, 5, 7, *device);
  const std::int64_t token = KvCache::bytes_per_token(small_config(), DType::bf16);
  EXPECT_EQ(token, 2 * 3 * 2 * 12 * 2);
  EXPECT_EQ(cache.bytes(), 5 * 7 * token);
  ASSERT_EQ(cache.layers().size(), 3u);

  std::vector<const std::byte*> begins;
  for (const PagedKv& layer : cache.layers()) {
    for (const Tensor& part : {layer.keys, layer.values}) {
      EXPECT_EQ(part.shape, (Shape{5, 2, 7, 12}));
      EXPECT_EQ(part.dtype, DType::bf16);
      begins.push_back(static_cast<const std::byte*>(part.data));
    }
  }
  const std::int64_t part_bytes = cache.layers()[0].keys.bytes();
  std::sort(begins.begin(), begins.end());
  for (std::size_t i = 1; i < begins.size(); ++i) EXPECT_EQ(begins[i] - begins[i - 1], part_bytes);
  EXPECT_EQ(begins.back() + part_bytes, begins.front() + cache.bytes());
}

TEST(KvCache, ReportsWhatTheDeviceCannotHold) {
  const auto device = open_device("ref", {.threads = 1, .memory_limit = 1000});
  try {
    KvCache cache(small_config(), DType::f32, 5, 7, *device);
    FAIL() << "10,080 bytes within 1,000";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::memory);
  }
}

}  // namespace
}  // namespace glmocr::engine
