// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "base/log.h"
#include "base/memory_budget.h"
#include "support/expect_error.h"

namespace glmocr {
namespace {

TEST(Log, GoesToTheSinkAndNowhereElse) {
  std::vector<std::pair<LogLevel, std::string>> lines;
  log(LogLevel::error, "before");
  set_log_sink([&](LogLevel level, const std::string& message) { lines.emplace_back(level, message); });
  log(LogLevel::warning, "one");
  log(LogLevel::info, "two");
  set_log_sink({});
  log(LogLevel::error, "after");
  const std::vector<std::pair<LogLevel, std::string>> expected{{LogLevel::warning, "one"},
                                                               {LogLevel::info, "two"}};
  EXPECT_EQ(lines, expected);
}

TEST(MemoryBudget, KeepsAQuarterForWhatRunsOnPreparedWeights) {
  MemoryBudget budget(100);
  EXPECT_TRUE(budget.has_room_to_prepare(75));
  EXPECT_FALSE(budget.has_room_to_prepare(76));
  budget.take(50, "others");
  EXPECT_TRUE(budget.has_room_to_prepare(25));
  EXPECT_FALSE(budget.has_room_to_prepare(26));
  EXPECT_TRUE(MemoryBudget().has_room_to_prepare(std::int64_t{1} << 50));
}

TEST(MemoryBudget, CountsWhatIsTakenAndRefusesMore) {
  const auto budget = std::make_shared<MemoryBudget>(100);
  {
    const MemoryShare first(budget, 60, "the first");
    expect_error(ErrorCode::memory, {"no memory for the second: it takes 41 B; 60 B of 100 B are in use"},
                 [&] { MemoryShare(budget, 41, "the second"); });
    EXPECT_EQ(budget->used(), 60) << "a refusal takes nothing";
    EXPECT_FALSE(MemoryShare::try_take(budget, 41));
    MemoryShare second = MemoryShare::try_take(budget, 40);
    EXPECT_TRUE(second);
    EXPECT_EQ(budget->used(), 100);
    const MemoryShare moved = std::move(second);
    EXPECT_EQ(budget->used(), 100) << "moving takes nothing";
    EXPECT_EQ(moved.bytes(), 40);
  }
  EXPECT_EQ(budget->used(), 0);
  EXPECT_EQ(budget->peak(), 100);
  const MemoryShare unlimited(std::make_shared<MemoryBudget>(), std::int64_t{1} << 50, "anything");
}

}  // namespace
}  // namespace glmocr
