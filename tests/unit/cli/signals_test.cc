// SPDX-License-Identifier: Apache-2.0
#include "cli/signals.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <cstdlib>

#include "glmocr/error.h"

namespace glmocr::cli {
namespace {

TEST(InterruptWatcherDeathTest, WithoutAPipeIsAnErrorOfTheMachine) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  const auto watch = [] {
    const rlimit none{0, 0};  // files that may be open
    if (::setrlimit(RLIMIT_NOFILE, &none) != 0) std::_Exit(1);
    try {
      const InterruptWatcher watcher([] {}, [](const std::string&) {});
    } catch (const Error& error) {
      std::_Exit(error.code() == ErrorCode::device ? 7 : 2);
    }
    std::_Exit(3);
  };
  EXPECT_EXIT(watch(), testing::ExitedWithCode(7), "");
}

}  // namespace
}  // namespace glmocr::cli
