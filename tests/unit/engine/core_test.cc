// SPDX-License-Identifier: Apache-2.0
// The engine over a small random model, stepped by hand: a request that is batched, cut into chunks or
// recomputed gets the text and the log-probabilities that it gets alone. On the reference device, and on one
// that records and replays steps.
#include "engine/core.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "support/recording_device.h"
#include "unit/engine/test_model.h"

namespace glmocr::engine {
namespace {

using ::testing::Each;
using ::testing::Lt;

std::int64_t kv_for_tokens(std::int64_t tokens) { return tokens * kv_bytes_per_token(test_model()); }

void expect_same(const Result& a, const Result& b) {
  EXPECT_EQ(a.tokens, b.tokens);
  EXPECT_EQ(a.text, b.text);
  EXPECT_EQ(a.finish_reason, b.finish_reason);
  ASSERT_EQ(a.logprobs.size(), b.logprobs.size());
  for (std::size_t i = 0; i < a.logprobs.size(); ++i) EXPECT_EQ(a.logprobs[i], b.logprobs[i]) << i;
}

// A device by name: "ref", "recording", "ahead" (recording, with two steps in flight).
const TestModel& model_on(const std::string& device) {
  static std::map<std::string, TestModel> models;
  if (!models.contains(device)) {
    models[device] =
        device == "ref" ? load_test_model("ref") : load_recording_model(device == "ahead" ? 2 : 1);
  }
  return models[device];
}

class CoreTest : public testing::TestWithParam<std::string> {
 protected:
  const GlmOcr& model() const { return *model_on(GetParam()).model; }
};
INSTANTIATE_TEST_SUITE_P(On, CoreTest, testing::Values("ref", "recording", "ahead"),
                         [](const auto& info) { return info.param; });

// What every request of the mix gets alone; computed once.
const std::vector<Result>& alone() {
  static const std::vector<Result> completions = [] {
    std::vector<Result> result;
    for (Request& request : mixed_requests(test_model())) {
      result.push_back(run_alone(test_model(), std::move(request), kSmall));
    }
    return result;
  }();
  return completions;
}

void expect_as_alone(const std::vector<Result>& completions) {
  ASSERT_EQ(completions.size(), alone().size());
  for (std::size_t i = 0; i < completions.size(); ++i) {
    SCOPED_TRACE(i);
    expect_same(completions[i], alone()[i]);
  }
}

TEST_P(CoreTest, GreedyTextIsThatOfAPlainLoop) {
  for (std::vector<PictureSize> pictures : {std::vector<PictureSize>{}, std::vector<PictureSize>{{84, 112}},
                                            std::vector<PictureSize>{{84, 84}, {56, 168}}}) {
    Request request = test_request(model(), "Text Recognition:", pictures, 10);
    request.stop_ids.clear();
    const std::vector<TokenId> expected = plain_greedy(test_model(), request, 10);
    EXPECT_EQ(run_alone(model(), std::move(request), kSmall).tokens, expected);
  }
}

TEST_P(CoreTest, ThePenaltySeesThePromptAndWhatWasGenerated) {
  constexpr int kTokens = 30;
  Request request = test_request(model(), "again and again", {}, kTokens);
  request.stop_ids.clear();
  request.options.sampling.repetition_penalty = 1.5f;
  const std::vector<TokenId> expected = plain_greedy(test_model(), request, kTokens);
  EXPECT_NE(expected, plain_greedy(test_model(), request, kTokens, PenaltySees::prompt));
  EXPECT_EQ(run_alone(model(), std::move(request), kSmall).tokens, expected);
}

// A step with a key seen before is replayed: its body is not called again.
TEST(RecordedSteps, TheBodyIsCalledOncePerKey) {
  for (const int depth : {1, 2}) {
    const TestModel model = load_recording_model(depth);
    const auto& device = dynamic_cast<const test::RecordingDevice&>(*model.device);
    Core core(*model.model, kSmall);
    Request request = test_request(*model.model, "on and on", {}, 40);
    request.stop_ids.clear();
    submit(core, request);
    while (core.step()) {
    }
    const std::int64_t steps = device.bodies_called() + device.replays();
    EXPECT_GE(steps, 40);
    EXPECT_LE(device.bodies_called(), 5) << "sizes in buckets: few keys";
    const std::int64_t bodies = device.bodies_called();
    submit(core, request);  // the same steps again
    while (core.step()) {
    }
    EXPECT_EQ(device.bodies_called(), bodies);
    EXPECT_EQ(device.bodies_called() + device.replays(), 2 * steps);
  }
}

TEST(Core, TheMixIsNoTrivialOne) {
  for (const Result& completion : alone()) {
    EXPECT_FALSE(completion.tokens.empty());
    EXPECT_EQ(std::ssize(completion.tokens), completion.completion_tokens);
  }
  EXPECT_NE(alone()[0].tokens, alone()[6].tokens);
  EXPECT_GT(alone()[0].image_tokens, 0);
}

TEST_P(CoreTest, BatchedEqualsOneByOne) {
  EngineStats stats;
  expect_as_alone(run_together(model(), mixed_requests(model()), kSmall, &stats));
  EXPECT_EQ(stats.preemptions, 0);
  EXPECT_EQ(stats.finished, 7);
  EXPECT_LT(stats.steps, 30) << "the requests did not run together";
}

TEST_P(CoreTest, ChunkedPrefillEqualsUnchunked) {
  for (const int chunk : {1, 7}) {
    EngineOptions options = kSmall;
    options.prefill_chunk = chunk;
    expect_as_alone(run_together(model(), mixed_requests(model()), options));
  }
}

TEST_P(CoreTest, PagesAndPicturesAStepDoNotMatter) {
  EngineOptions options = kSmall;
  options.page_size = 1;
  options.vision_patches = 1;
  options.max_sequences = 2;
  expect_as_alone(run_together(model(), mixed_requests(model()), options));
}

TEST_P(CoreTest, PreemptionEqualsNoPreemption) {
  EngineOptions options = kSmall;
  options.page_size = 2;
  options.prefill_chunk = 16;
  options.kv_memory = kv_for_tokens(110);
  EngineStats stats;
  expect_as_alone(run_together(model(), mixed_requests(model()), options, &stats));
  EXPECT_GT(stats.preemptions, 0);
  EXPECT_EQ(stats.free_pages, stats.total_pages);
}

TEST_P(CoreTest, APreemptedRequestEncodesItsPictureOnceMore) {
  std::vector<Request> requests;
  for (int i = 0; i < 3; ++i) {
    requests.push_back(test_request(model(), "Text Recognition:", {{84, 84}}, 30));
    requests.back().stop_ids.clear();
  }
  const std::int64_t prompt = std::ssize(requests[0].prompt.ids);
  const std::int64_t patches = requests[0].images[0].grid.patches();
  const Result expected = run_alone(model(), Request(requests[0]), kSmall);

  EngineOptions options = kSmall;
  options.page_size = 2;
  options.kv_memory = kv_for_tokens(3 * prompt + 30);
  EngineStats stats;
  for (const Result& completion : run_together(model(), std::move(requests), options, &stats)) {
    expect_same(completion, expected);
  }
  EXPECT_GT(stats.preemptions, 0);
  EXPECT_EQ(stats.patches, patches * (3 + stats.preemptions));
}

TEST_P(CoreTest, ASeedGivesTheSameTextInAnyBatch) {
  const auto sampled = [this](std::uint64_t seed) {
    Request request = test_request(model(), "sampled text", {}, 20);
    request.options.sampling = {.temperature = 1, .seed = seed};
    request.stop_ids.clear();
    return request;
  };
  std::vector<Request> requests;
  for (const std::uint64_t seed : {5, 6, 5, 7}) requests.push_back(sampled(seed));
  const auto completions = run_together(model(), std::move(requests), kSmall);
  EXPECT_EQ(completions[0].tokens, completions[2].tokens);
  EXPECT_NE(completions[0].tokens, completions[1].tokens);
  EXPECT_NE(completions[1].tokens, completions[3].tokens);
  EXPECT_EQ(run_alone(model(), sampled(7), kSmall).tokens, completions[3].tokens);
}

TEST_P(CoreTest, PaddingIdsAreNeverChosen) {
  ASSERT_LT(model().tokenizer().size(), model().config().text.vocab_size);
  Request request = test_request(model(), "hot", {}, 300);
  request.options.sampling = {.temperature = 50, .seed = 1};
  request.stop_ids.clear();
  EXPECT_THAT(run_alone(model(), std::move(request), kSmall).tokens, Each(Lt(model().tokenizer().size())));
}

TEST_P(CoreTest, TheContextEndsAsLength) {
  EngineOptions options = kSmall;
  options.kv_memory = kv_for_tokens(48);
  EXPECT_EQ(Core(model(), options).limits().context, 48);
  Request request = test_request(model(), "on and on", {}, 100000);
  request.stop_ids.clear();
  const auto prompt = std::ssize(request.prompt.ids);
  const Result completion = run_alone(model(), std::move(request), options);
  EXPECT_EQ(completion.finish_reason, FinishReason::length);
  EXPECT_EQ(completion.completion_tokens, 48 - prompt);
}

TEST_P(CoreTest, MaxTokensEndsAsLength) {
  Request request = test_request(model(), "short", {}, 4);
  request.stop_ids.clear();
  const Result completion = run_alone(model(), std::move(request), kSmall);
  EXPECT_EQ(completion.finish_reason, FinishReason::length);
  EXPECT_EQ(completion.completion_tokens, 4);
}

TEST_P(CoreTest, LogprobsAndTheirAlternatives) {
  std::vector<TokenEvent> events;
  Request request = test_request(model(), "logprobs", {}, 6);
  request.options.sampling.logprobs = 4;
  request.options.on_token = [&](const TokenEvent& event) { events.push_back(event); };
  const Result completion = run_alone(model(), std::move(request), kSmall);
  ASSERT_EQ(events.size(), completion.tokens.size());
  for (std::size_t i = 0; i < events.size(); ++i) {
    ASSERT_EQ(events[i].top.size(), 4u);
    EXPECT_EQ(events[i].top[0].first, completion.tokens[i]);  // greedy
    EXPECT_EQ(events[i].top[0].second, completion.logprobs[i]);
    EXPECT_LT(events[i].logprob, 0);
    EXPECT_GE(events[i].top[0].second, events[i].top[3].second);
  }
}

TEST_P(CoreTest, AStopStringEndsTheText) {
  Request request = test_request(model(), "no picture at all", {}, 24);
  request.stop_ids.clear();
  const std::string whole = run_alone(model(), request, kSmall).text;
  ASSERT_GT(whole.size(), 12u);
  const std::string stop = whole.substr(whole.size() / 2, 2);
  request.options.stop = {stop};
  const Result result = run_alone(model(), std::move(request), kSmall);
  EXPECT_EQ(result.finish_reason, FinishReason::stop);
  EXPECT_EQ(result.text, whole.substr(0, whole.find(stop)));
}

TEST_P(CoreTest, StatsAddUp) {
  EngineStats stats;
  const auto completions = run_together(model(), mixed_requests(model()), kSmall, &stats);
  std::int64_t prompt = 0, generated = 0;
  for (const Result& completion : completions) {
    prompt += completion.prompt_tokens;
    generated += completion.completion_tokens;
    const Timings& t = completion.timings;
    EXPECT_GT(t.queue_ms + t.prefill_ms, 0);
    EXPECT_EQ(t.vision_ms > 0, completion.image_tokens > 0);
  }
  EXPECT_EQ(stats.prompt_tokens, prompt);
  EXPECT_EQ(stats.completion_tokens, generated);
  EXPECT_EQ(stats.running, 0);
  EXPECT_EQ(stats.waiting, 0);
  EXPECT_EQ(stats.free_pages, stats.total_pages);
  EXPECT_GT(stats.peak_pages, 0);
  EXPECT_EQ(stats.page_bytes, kSmall.page_size * kv_bytes_per_token(model()));
  EXPECT_GT(stats.vision_seconds, 0);
  EXPECT_GT(stats.prefill_seconds, 0);
  EXPECT_GT(stats.decode_seconds, 0);
}

}  // namespace
}  // namespace glmocr::engine
