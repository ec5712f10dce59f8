// SPDX-License-Identifier: Apache-2.0
#include "document/page_turns.h"

#include <gmock/gmock.h>

#include <thread>
#include <vector>

namespace glmocr {
namespace {

using testing::ElementsAre;
constexpr std::chrono::hours kOneHour(1);

// The claimed page comes first though its thread asks last.
TEST(PageTurns, TheLowestPageComesFirst) {
  PageTurns turns;
  std::vector<int> served;  // guarded by the turns
  auto first = turns.claim(1), second = turns.claim(2), third = turns.claim(3);
  std::vector<std::thread> threads;
  for (const int page : {3, 2}) {
    threads.emplace_back([&, page] {
      const PageTurns::Turn turn(turns, page, kOneHour);
      served.push_back(page);
    });
  }
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  {
    const PageTurns::Turn turn(turns, 1, kOneHour);
    served.push_back(1);
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_THAT(served, ElementsAre(1, 2, 3));
}

TEST(PageTurns, AClaimThatIsDroppedHoldsNobodyUp) {
  PageTurns turns;
  auto first = turns.claim(1), again = turns.claim(1), second = turns.claim(2);
  std::thread waiting([&] { const PageTurns::Turn turn(turns, 2, kOneHour); });
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  first.reset();
  again.reset();
  waiting.join();
  EXPECT_EQ(again, nullptr);
}

TEST(PageTurns, AClaimOfAThreadThatNeverAsksHoldsUpForAWhile) {
  PageTurns turns;
  const auto first = turns.claim(1);
  const auto start = std::chrono::steady_clock::now();
  { const PageTurns::Turn turn(turns, 2, std::chrono::milliseconds(50)); }
  EXPECT_GE(std::chrono::steady_clock::now() - start, std::chrono::milliseconds(50));
}

TEST(PageTurns, OneTurnAtATime) {
  PageTurns turns;
  int inside = 0, most = 0;
  std::vector<std::thread> threads;
  for (int page = 0; page < 8; ++page) {
    threads.emplace_back([&, page] {
      for (int i = 0; i < 200; ++i) {
        const PageTurns::Turn turn(turns, page);
        most = std::max(most, ++inside);
        --inside;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(most, 1);
}

// A claim may outlive what gave it.
TEST(PageTurns, AClaimOutlivesItsDocument) {
  std::shared_ptr<void> claim;
  {
    PageTurns turns;
    claim = turns.claim(1);
  }
  claim.reset();
  EXPECT_EQ(claim, nullptr);
}

}  // namespace
}  // namespace glmocr
