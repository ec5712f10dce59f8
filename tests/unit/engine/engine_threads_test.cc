// SPDX-License-Identifier: Apache-2.0
// The engine on its own thread, with callers on several others.
#include <gtest/gtest.h>

#include <thread>

#include "engine/core.h"
#include "unit/engine/test_model.h"

namespace glmocr::engine {
namespace {

constexpr EngineOptions kThreaded{.kv_memory = 1 << 20, .page_size = 8, .prefill_chunk = 16};

// A core with a thread that runs its steps, as the public engine has.
struct ThreadedCore {
  explicit ThreadedCore(const EngineOptions& options) : core(test_model(), options) {}
  ~ThreadedCore() {
    core.close();
    thread.join();
  }
  Core core;
  std::thread thread{[this] { core.run(); }};
};

TEST(EngineThreads, SubmitsFromFourThreadsGetTheTextsTheyGetAlone) {
  std::vector<Result> alone;
  for (Request& request : mixed_requests(test_model())) {
    alone.push_back(run_alone(test_model(), std::move(request), kThreaded));
  }
  constexpr int kThreads = 4;
  std::vector<std::vector<Result>> results(kThreads);
  std::vector<std::string> streamed(kThreads);
  {
    ThreadedCore engine(kThreaded);
    std::vector<std::thread> threads;
    for (std::size_t t = 0; t < kThreads; ++t) {
      threads.emplace_back([&, t] {
        std::vector<Job> handles;
        for (Request& request : mixed_requests(test_model()))
          handles.push_back(submit(engine.core, std::move(request)));
        while (const auto event = handles[0].next()) streamed[t] += event->text;
        for (const Job& handle : handles) results[t].push_back(handle.wait());
        EXPECT_GE(engine.core.stats().finished, std::ssize(handles));
      });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(engine.core.stats().finished, static_cast<std::int64_t>(kThreads * alone.size()));
    EXPECT_EQ(engine.core.stats().failed, 0);
  }
  for (std::size_t t = 0; t < kThreads; ++t) {
    ASSERT_EQ(results[t].size(), alone.size());
    EXPECT_EQ(streamed[t], alone[0].text);
    for (std::size_t i = 0; i < alone.size(); ++i) {
      EXPECT_EQ(results[t][i].tokens, alone[i].tokens) << t << ' ' << i;
      EXPECT_EQ(results[t][i].text, alone[i].text) << t << ' ' << i;
    }
  }
}

TEST(EngineThreads, CancelFromAnotherThreadWhileItRuns) {
  ThreadedCore engine(kThreaded);
  Request request = test_request(test_model(), "on and on", {}, 100000);
  request.stop_ids.clear();
  const Job handle = submit(engine.core, std::move(request));
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(handle.next());
  std::thread([&] { handle.cancel(); }).join();
  const Result completion = handle.wait();
  EXPECT_EQ(completion.finish_reason, FinishReason::cancelled);
  EXPECT_GE(completion.completion_tokens, 5);
}

TEST(EngineThreads, TheEndOfTheEngineCancelsWhatRunsAndWhatWaits) {
  std::vector<Job> handles;
  {
    EngineOptions options = kThreaded;
    options.max_sequences = 2;
    ThreadedCore engine(options);
    for (int i = 0; i < 6; ++i) {
      Request request = test_request(test_model(), "on and on", {}, 100000);
      request.stop_ids.clear();
      handles.push_back(submit(engine.core, std::move(request)));
    }
    ASSERT_TRUE(handles[0].next());
  }
  for (const Job& handle : handles) {
    ASSERT_TRUE(handle.done());
    EXPECT_EQ(handle.wait().finish_reason, FinishReason::cancelled);
  }
}

TEST(EngineThreads, TimingsAddUpToTheTimeThatPassed) {
  ThreadedCore engine(kThreaded);
  const auto begin = std::chrono::steady_clock::now();
  const Job handle = submit(engine.core, test_request(test_model(), "Text Recognition:", {{84, 112}}, 10));
  const Result completion = handle.wait();
  const std::chrono::duration<double, std::milli> passed = std::chrono::steady_clock::now() - begin;
  const Timings& t = completion.timings;
  const double sum = t.queue_ms + t.vision_ms + t.prefill_ms + t.decode_ms;
  EXPECT_LE(sum, passed.count() + 0.01);
  EXPECT_GT(sum, 0.5 * passed.count());
  for (const double part : {t.vision_ms, t.prefill_ms, t.decode_ms}) EXPECT_GT(part, 0.01 * sum);
}

}  // namespace
}  // namespace glmocr::engine
