// SPDX-License-Identifier: Apache-2.0
#include "glmocr/bench.h"

#include <gtest/gtest.h>

#include "support/expect_error.h"

namespace glmocr {
namespace {

BenchOptions small() {
  BenchOptions options;
  options.weights = BenchWeights::small;
  options.load.device = "cpu";
  return options;
}

TEST(Bench, RefusesOptionsOutOfRange) {
  BenchOptions threads = small(), memory = small(), runs = small();
  threads.load.threads = -1;
  memory.load.memory_limit = -1;
  runs.runs = 0;
  expect_error(ErrorCode::usage, {"bench: threads is -1, expected 0 or more"}, [&] { bench(threads); });
  expect_error(ErrorCode::usage, {"bench: memory_limit is -1, expected 0 or more"}, [&] { bench(memory); });
  expect_error(ErrorCode::usage, {"bench: the number of runs is 0"}, [&] { bench(runs); });
}

}  // namespace
}  // namespace glmocr
