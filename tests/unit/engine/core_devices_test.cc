// SPDX-License-Identifier: Apache-2.0
// The engine over other devices and compute types than the reference in fp32.
#include <gtest/gtest.h>

#include "engine/core.h"
#include "unit/engine/test_model.h"

namespace glmocr::engine {
namespace {

std::vector<std::vector<TokenId>> tokens_of(const std::vector<Result>& completions) {
  std::vector<std::vector<TokenId>> tokens;
  for (const Result& completion : completions) {
    tokens.push_back(completion.tokens);
  }
  return tokens;
}

// Few pages, small chunks, several threads: everything that could make a text depend on its batch.
TEST(EngineDevices, TheCpuInFp32GivesTheReferenceTextsInABatch) {
  const TestModel cpu = load_test_model("cpu", {.threads = 3});
  EngineOptions options = kSmall;
  options.page_size = 2;
  options.prefill_chunk = 16;
  options.kv_memory = 110 * kv_bytes_per_token(*cpu.model);
  EngineStats stats;
  const auto batched = tokens_of(run_together(*cpu.model, mixed_requests(*cpu.model), options, &stats));
  EXPECT_GT(stats.preemptions, 0);

  const std::vector<Request> requests = mixed_requests(test_model());
  for (std::size_t i = 0; i < requests.size(); ++i) {
    EXPECT_EQ(batched[i], run_alone(test_model(), requests[i], kSmall).tokens) << i;
  }
}

TEST(EngineDevices, Bf16GivesTheTextOfAPlainLoop) {
  const TestModel reference = load_test_model("ref", {.threads = 1}, DType::bf16);
  const auto request = [&] {
    Request made = test_request(*reference.model, "Text Recognition:", {{84, 112}}, 8);
    made.stop_ids.clear();
    return made;
  };
  std::vector<Request> requests;
  for (int i = 0; i < 2; ++i) requests.push_back(request());
  EngineOptions options = kSmall;
  options.prefill_chunk = 7;
  const std::vector<TokenId> expected = plain_greedy(*reference.model, request(), 8);
  for (const auto& tokens : tokens_of(run_together(*reference.model, std::move(requests), options))) {
    EXPECT_EQ(tokens, expected);
  }
}

}  // namespace
}  // namespace glmocr::engine
