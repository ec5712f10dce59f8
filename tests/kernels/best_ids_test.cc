// SPDX-License-Identifier: Apache-2.0
#include "kernels/host/best_ids.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <random>
#include <vector>

namespace glmocr {
namespace {

std::vector<std::int32_t> sorted_ids(const std::vector<float>& logits, std::int64_t count) {
  std::vector<std::int32_t> ids(logits.size());
  std::iota(ids.begin(), ids.end(), 0);
  std::sort(ids.begin(), ids.end(), [&](std::int32_t a, std::int32_t b) {
    return logits[a] != logits[b] ? logits[a] > logits[b] : a < b;
  });
  ids.resize(std::min<std::int64_t>(count, std::ssize(ids)));
  return ids;
}

TEST(BestIds, AreThoseOfASort) {
  std::mt19937 random(3);
  BestIds best;
  for (const std::int64_t size : {1, 2, 15, 63, 64, 65, 128, 1000, 5003}) {
    for (const int levels : {2, 40, 1 << 20}) {  // few levels: equal logits
      std::vector<float> logits(size);
      for (float& logit : logits) logit = static_cast<float>(random() % levels) / 16 - 3;
      best.begin(logits);
      for (const std::int64_t count :
           {std::int64_t{1}, std::int64_t{5}, std::int64_t{64}, size / 2 + 1, size, size + 9}) {
        const auto ids = best.take(count);
        EXPECT_EQ(std::vector<std::int32_t>(ids.begin(), ids.end()), sorted_ids(logits, count))
            << count << " of " << size << ", " << levels << " levels";
      }
    }
  }
}

TEST(BestIds, NoneOfNone) {
  BestIds best;
  best.begin({});
  EXPECT_TRUE(best.take(4).empty());
}

}  // namespace
}  // namespace glmocr
