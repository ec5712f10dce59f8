// SPDX-License-Identifier: Apache-2.0
// Several devices behind one queue: which one takes a request, that it changes no text, and what happens when one is lost.
#include <gtest/gtest.h>

#include <filesystem>
#include <thread>

#include "engine/core.h"
#include "support/expect_error.h"
#include "support/faulty_device.h"
#include "support/recording_device.h"
#include "unit/engine/test_model.h"

namespace glmocr::engine {
namespace {

// Few pages, so that some requests are preempted.
constexpr EngineOptions kFewPages{
    .max_sequences = 4, .kv_memory = 1 << 20, .page_size = 4, .prefill_chunk = 32};

// Devices that record steps, two of them in flight, with a core each. Their steps are run by the test.
class Replicas {
 public:
  explicit Replicas(int count, const EngineOptions& options = kFewPages, std::int64_t memory_limit = 0) {
    const Snapshot snapshot = Snapshot::open(std::filesystem::path(GLMOCR_TEST_DATA) / "awkward");
    for (int i = 0; i < count; ++i) {
      const auto memory = std::make_shared<MemoryBudget>(memory_limit);
      auto inner = memory_limit > 0 ? open_device("ref", {.threads = 1, .memory = memory})
                                    : std::make_unique<test::RecordingDevice>(
                                          2, DeviceOptions{.threads = 1, .memory = memory});
      devices.push_back(std::make_unique<test::FaultyDevice>(std::move(inner), cat("device:", i)));
      models.push_back(GlmOcr::load(snapshot, *devices.back(), DType::f32));
    }
    queue = std::make_shared<RequestQueue>(*models[0],
                                           engine_limits(*models[0], options, memory_used(*devices[0])));
    for (const auto& model : models) cores.push_back(std::make_unique<Core>(queue, *model));
  }

  const GlmOcr& model() const { return *models[0]; }
  Job submit(Request request) { return JobAccess::make(queue->submit(std::move(request))); }
  std::vector<Job> submit(const std::vector<Request>& requests) {
    std::vector<Job> jobs;
    for (const Request& request : requests) jobs.push_back(submit(Request(request)));
    return jobs;
  }
  // One step of each device. False: there was nothing to do.
  bool step() {
    bool ran = false;
    for (const auto& core : cores) ran = core->step() || ran;
    return ran;
  }
  void run() {
    while (step()) {
    }
  }

  std::vector<std::unique_ptr<test::FaultyDevice>> devices;
  std::vector<std::unique_ptr<GlmOcr>> models;
  std::shared_ptr<RequestQueue> queue;
  std::vector<std::unique_ptr<Core>> cores;
};

// Requests of every kind, two of each.
std::vector<Request> many_requests(const GlmOcr& model) {
  std::vector<Request> requests;
  for (int copy = 0; copy < 2; ++copy) {
    for (Request& request : mixed_requests(model)) {
      request.options.sampling.seed += copy;
      requests.push_back(std::move(request));
    }
  }
  return requests;
}

const std::vector<Result>& read_alone() {
  static const std::vector<Result> results = [] {
    std::vector<Result> each;
    for (Request& request : many_requests(test_model())) {
      each.push_back(run_alone(test_model(), std::move(request), kFewPages));
    }
    return each;
  }();
  return results;
}

Request endless(const GlmOcr& model, const std::string& text, int tokens = 60) {
  Request request = test_request(model, text, {}, tokens);
  request.stop_ids.clear();
  return request;
}

std::string streamed(const Job& job) {
  std::string text;
  while (const auto event = job.next()) text += event->text;
  return text;
}

void expect_texts(const std::vector<Job>& jobs) {
  ASSERT_EQ(jobs.size(), read_alone().size());
  for (std::size_t i = 0; i < jobs.size(); ++i) {
    const Result result = jobs[i].wait();
    EXPECT_EQ(result.tokens, read_alone()[i].tokens) << i;
    EXPECT_EQ(result.logprobs, read_alone()[i].logprobs) << i;
    EXPECT_EQ(result.text, read_alone()[i].text) << i;
    EXPECT_EQ(streamed(jobs[i]), read_alone()[i].text) << i;
  }
}

TEST(Replicas, ATextDoesNotDependOnTheirNumber) {
  for (const int count : {1, 2, 3}) {
    SCOPED_TRACE(count);
    EngineOptions options = kFewPages;
    options.kv_memory = 110 * kv_bytes_per_token(test_model());
    Replicas replicas(count, options);
    const std::vector<Job> jobs = replicas.submit(many_requests(replicas.model()));
    replicas.run();
    expect_texts(jobs);
    std::int64_t finished = 0, preempted = 0;
    for (const auto& core : replicas.cores) {
      EXPECT_GE(core->stats().finished, 2);
      finished += core->stats().finished;
      preempted += core->stats().preemptions;
    }
    EXPECT_EQ(finished, std::ssize(jobs));
    EXPECT_GT(preempted, 0);
  }
}

TEST(Replicas, FewRequestsAreSpreadOverAll) {
  Replicas replicas(3);
  std::vector<Job> jobs;
  for (int i = 0; i < 6; ++i) jobs.push_back(replicas.submit(endless(replicas.model(), "the same text", 4)));
  replicas.step();
  for (const auto& core : replicas.cores) EXPECT_EQ(core->stats().running + core->stats().waiting, 2);
  replicas.run();
  for (std::size_t i = 0; i < jobs.size(); ++i) {
    EXPECT_EQ(jobs[i].wait().device, cat("device:", i / 2));
  }
}

// One with a long prompt weighs as much as several with short ones.
TEST(Replicas, ALargeRequestCountsMore) {
  Replicas replicas(2);
  std::vector<Job> jobs = {replicas.submit(endless(replicas.model(), std::string(200, 'x'), 4))};
  for (int i = 0; i < 4; ++i) jobs.push_back(replicas.submit(endless(replicas.model(), "short", 4)));
  replicas.run();
  EXPECT_EQ(jobs[0].wait().device, "device:0");
  for (std::size_t i = 1; i < jobs.size(); ++i) EXPECT_EQ(jobs[i].wait().device, "device:1");
}

// What a device has not begun, another one takes: nothing waits for a device that is slow.
TEST(Replicas, WhatWaitsGoesToTheDeviceThatHasRoom) {
  EngineOptions options = kFewPages;
  options.max_sequences = 2;
  Replicas replicas(2, options);
  std::vector<Job> jobs;
  for (int i = 0; i < 10; ++i) jobs.push_back(replicas.submit(endless(replicas.model(), "the same text", 5)));
  replicas.step();
  EXPECT_EQ(replicas.queue->waiting(), 6);
  while (replicas.cores[0]->step()) {
  }
  EXPECT_EQ(replicas.queue->waiting(), 0);
  EXPECT_EQ(replicas.cores[0]->stats().finished, 8);
  EXPECT_EQ(replicas.cores[1]->stats().finished, 0);
  replicas.run();
  EXPECT_EQ(replicas.cores[1]->stats().finished, 2);
}

TEST(Replicas, ACancelledRequestEndsWhileAllAreFull) {
  EngineOptions options = kFewPages;
  options.max_sequences = 1;
  Replicas replicas(2, options);
  std::vector<Job> jobs;
  for (int i = 0; i < 3; ++i) jobs.push_back(replicas.submit(endless(replicas.model(), "the same text")));
  for (int i = 0; i < 4; ++i) replicas.step();
  EXPECT_EQ(replicas.queue->waiting(), 1);
  jobs[2].cancel();
  for (int i = 0; i < 4; ++i) replicas.step();
  ASSERT_TRUE(jobs[2].done());
  EXPECT_EQ(jobs[2].wait().finish_reason, FinishReason::cancelled);
  EXPECT_EQ(jobs[2].wait().device, "");
  EXPECT_FALSE(jobs[0].done() || jobs[1].done());
}

TEST(Replicas, AnErrorOfOneChangesNothingForTheOthers) {
  for (const std::int64_t call : {0, 90, 151}) {
    SCOPED_TRACE(call);
    Replicas replicas(2);
    const std::vector<Job> jobs = replicas.submit(many_requests(replicas.model()));
    replicas.step();
    replicas.devices[0]->fail_once_after(call);
    replicas.run();
    EXPECT_TRUE(replicas.devices[0]->has_failed());
    EXPECT_FALSE(replicas.cores[0]->lost());
    std::size_t failed = 0;
    for (std::size_t i = 0; i < jobs.size(); ++i) {
      try {
        EXPECT_EQ(jobs[i].wait().tokens, read_alone()[i].tokens) << i;
      } catch (const Error& error) {
        EXPECT_EQ(error.code() == ErrorCode::device || error.code() == ErrorCode::memory, true)
            << error.what();
        ++failed;
      }
    }
    EXPECT_LE(failed, 4u);  // at most those that ran on it together
  }
}

// Whatever a device was doing: what it had goes on elsewhere where it was, and no token is streamed twice.
TEST(ReplicasLost, TheOthersGoOnWithItsRequests) {
  for (const std::int64_t call : {0, 133, 391, 800}) {
    SCOPED_TRACE(call);
    Replicas replicas(2);
    const std::vector<Job> jobs = replicas.submit(many_requests(replicas.model()));
    replicas.devices[1]->lose_after(call);
    replicas.run();
    ASSERT_TRUE(replicas.cores[1]->lost());
    EXPECT_FALSE(replicas.cores[0]->lost());
    expect_texts(jobs);
    EXPECT_EQ(replicas.cores[1]->stats().failed, 0);
    EXPECT_EQ(replicas.cores[1]->stats().free_pages, replicas.cores[1]->stats().total_pages);
    EXPECT_EQ(replicas.cores[1]->stats().running, 0);
  }
}

TEST(ReplicasLost, WithTheLastOneAllRequestsFail) {
  Replicas replicas(2);
  const std::vector<Job> jobs = replicas.submit(many_requests(replicas.model()));
  replicas.step();
  replicas.devices[0]->lose_after(0);
  replicas.step();
  EXPECT_TRUE(replicas.cores[0]->lost());
  EXPECT_NO_THROW(replicas.submit(endless(replicas.model(), "one is left")));
  replicas.devices[1]->lose_after(0);
  replicas.run();
  EXPECT_TRUE(replicas.cores[1]->lost());
  for (const Job& job : jobs) {
    expect_error(ErrorCode::device, {"device:1 is lost", "injected"}, [&] { job.wait(); });
  }
  expect_error(ErrorCode::device, {"device:1 is lost"},
               [&] { replicas.submit(endless(replicas.model(), "nobody is left")); });
  EXPECT_EQ(replicas.queue->waiting(), 0);
  EXPECT_FALSE(replicas.step());
}

// It may be the request that breaks them.
TEST(ReplicasLost, ARequestThatLosesASecondDeviceFails) {
  Replicas replicas(3);
  const Job first = replicas.submit(endless(replicas.model(), "the first", 20));
  for (int i = 0; i < 4; ++i) replicas.cores[0]->step();
  ASSERT_TRUE(first.next());
  replicas.devices[0]->lose_after(0);
  replicas.cores[0]->step();
  ASSERT_TRUE(replicas.cores[0]->lost());
  for (int i = 0; i < 4; ++i) replicas.cores[1]->step();
  const Job second = replicas.submit(endless(replicas.model(), "the other", 5));
  replicas.devices[1]->lose_after(0);
  replicas.cores[1]->step();
  EXPECT_TRUE(replicas.cores[1]->lost());
  expect_error(ErrorCode::device, {"device:1 is lost"}, [&] { first.wait(); });
  replicas.run();
  EXPECT_EQ(second.wait().device, "device:2");
}

// Each device has a budget. What waits is counted in any of them, what runs in that of its device.
TEST(ReplicasMemory, EachHasItsOwnBudget) {
  constexpr std::int64_t kLimit = std::int64_t{12} << 20;
  const auto fill = [](Replicas& replicas) {
    const Request request = test_request(replicas.model(), "waits", {{112, 112}}, 2);
    std::vector<Job> jobs;
    expect_error(ErrorCode::busy, {"fill the memory"}, [&] {
      for (;;) jobs.push_back(replicas.submit(Request(request)));
    });
    return jobs;
  };
  EngineOptions options;
  options.max_sequences = 2;
  options.max_waiting = 100000;
  Replicas one(1, options, kLimit), two(2, options, kLimit);
  const std::vector<std::int64_t> before = {two.devices[0]->memory()->used(),
                                            two.devices[1]->memory()->used()};
  const std::vector<Job> single = fill(one), both = fill(two);
  EXPECT_EQ(both.size(), 2 * single.size());
  while (two.cores[1]->step()) {
  }
  EXPECT_EQ(two.cores[1]->stats().finished, std::ssize(both));  // also what was counted in the other's budget
  for (std::size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(two.devices[i]->memory()->used(), before[i]);
    EXPECT_LE(two.devices[i]->memory()->peak(), kLimit);
  }
  const std::vector<Job> again = fill(two);
  EXPECT_EQ(again.size(), both.size());
  two.devices[0]->lose_after(0);
  two.run();
  for (const Job& job : again) EXPECT_EQ(job.wait().device, "device:1");
}

TEST(EngineThreads, SeveralDevicesOfWhichOneIsLost) {
  Replicas replicas(3);
  replicas.devices[1]->lose_after(700);
  std::vector<std::thread> devices;
  for (const auto& core : replicas.cores) devices.emplace_back([&core = *core] { core.run(); });
  std::vector<std::thread> callers;
  for (int t = 0; t < 3; ++t) {
    callers.emplace_back([&] { expect_texts(replicas.submit(many_requests(replicas.model()))); });
  }
  for (std::thread& caller : callers) caller.join();
  const Job last = replicas.submit(endless(replicas.model(), "on and on", 100000));
  ASSERT_TRUE(last.next());
  last.cancel();
  EXPECT_EQ(last.wait().finish_reason, FinishReason::cancelled);
  EXPECT_TRUE(replicas.cores[1]->lost());
  replicas.queue->close();
  for (std::thread& device : devices) device.join();
}

}  // namespace
}  // namespace glmocr::engine
