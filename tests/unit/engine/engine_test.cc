// SPDX-License-Identifier: Apache-2.0
// The engine over a small random model on the reference device, stepped by hand: what is batched, cut into
// chunks or recomputed gives the text that a request gets alone.
#include "engine/engine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "unit/engine/test_model.h"

namespace glmocr::engine {
namespace {

using ::testing::Each;
using ::testing::Lt;

constexpr EngineOptions kSmall{.kv_memory = 1 << 20, .page_size = 8, .own_thread = false};

std::int64_t kv_for_tokens(std::int64_t tokens) {
  return tokens * Engine::kv_bytes_per_token(test_model().config(), DType::f32);
}

void expect_same(const Completion& a, const Completion& b) {
  EXPECT_EQ(a.tokens, b.tokens);
  EXPECT_EQ(a.text, b.text);
  EXPECT_EQ(a.finish_reason, b.finish_reason);
  ASSERT_EQ(a.logprobs.size(), b.logprobs.size());
  for (std::size_t i = 0; i < a.logprobs.size(); ++i) EXPECT_NEAR(a.logprobs[i], b.logprobs[i], 1e-4);
}

// What every request of the mix gets alone; computed once.
const std::vector<Completion>& alone() {
  static const std::vector<Completion> completions = [] {
    std::vector<Completion> result;
    for (Request& request : mixed_requests(test_model())) {
      result.push_back(run_alone(test_model(), std::move(request), kSmall));
    }
    return result;
  }();
  return completions;
}

void expect_as_alone(const std::vector<Completion>& completions) {
  ASSERT_EQ(completions.size(), alone().size());
  for (std::size_t i = 0; i < completions.size(); ++i) {
    SCOPED_TRACE(i);
    expect_same(completions[i], alone()[i]);
  }
}

TEST(Engine, GreedyTextIsThatOfAPlainLoop) {
  for (std::vector<PictureSize> pictures : {std::vector<PictureSize>{}, std::vector<PictureSize>{{84, 112}},
                                            std::vector<PictureSize>{{84, 84}, {56, 168}}}) {
    Request request = make_request(test_model(), "Text Recognition:", pictures, 10);
    request.ignore_eos = true;
    const std::vector<TokenId> expected = plain_greedy(test_model(), request, 10);
    EXPECT_EQ(run_alone(test_model(), std::move(request), kSmall).tokens, expected);
  }
}

TEST(Engine, ThePenaltySeesThePromptAndWhatWasGenerated) {
  constexpr int kTokens = 30;
  Request request = make_request(test_model(), "again and again", {}, kTokens);
  request.ignore_eos = true;
  request.sampling.repetition_penalty = 1.5f;
  const std::vector<TokenId> expected = plain_greedy(test_model(), request, kTokens);
  EXPECT_NE(expected, plain_greedy(test_model(), request, kTokens, PenaltySees::prompt));
  EXPECT_EQ(run_alone(test_model(), std::move(request), kSmall).tokens, expected);
}

TEST(Engine, TheMixIsNoTrivialOne) {
  for (const Completion& completion : alone()) {
    EXPECT_EQ(completion.error, nullptr);
    EXPECT_FALSE(completion.tokens.empty());
    EXPECT_EQ(std::ssize(completion.tokens), completion.completion_tokens);
  }
  EXPECT_NE(alone()[0].tokens, alone()[6].tokens);
  EXPECT_GT(alone()[0].image_tokens, 0);
}

TEST(Engine, BatchedEqualsOneByOne) {
  EngineStats stats;
  expect_as_alone(run_together(test_model(), mixed_requests(test_model()), kSmall, &stats));
  EXPECT_EQ(stats.preemptions, 0);
  EXPECT_EQ(stats.finished_requests, 7);
  EXPECT_LT(stats.steps, 30) << "the requests did not run together";
}

TEST(Engine, ChunkedPrefillEqualsUnchunked) {
  for (const int chunk : {1, 7}) {
    EngineOptions options = kSmall;
    options.prefill_chunk = chunk;
    expect_as_alone(run_together(test_model(), mixed_requests(test_model()), options));
  }
}

TEST(Engine, PagesAndPicturesAStepDoNotMatter) {
  EngineOptions options = kSmall;
  options.page_size = 1;
  options.vision_patches = 1;
  options.max_sequences = 2;
  expect_as_alone(run_together(test_model(), mixed_requests(test_model()), options));
}

TEST(Engine, PreemptionEqualsNoPreemption) {
  EngineOptions options = kSmall;
  options.page_size = 2;
  options.prefill_chunk = 16;
  options.kv_memory = kv_for_tokens(110);
  EngineStats stats;
  expect_as_alone(run_together(test_model(), mixed_requests(test_model()), options, &stats));
  EXPECT_GT(stats.preemptions, 0);
  EXPECT_EQ(stats.free_pages, stats.total_pages);
}

TEST(Engine, APreemptedRequestEncodesItsPictureOnceMore) {
  std::vector<Request> requests;
  for (int i = 0; i < 3; ++i) {
    requests.push_back(make_request(test_model(), "Text Recognition:", {{84, 84}}, 30));
    requests.back().ignore_eos = true;
  }
  const std::int64_t prompt = std::ssize(requests[0].prompt.ids);
  const std::int64_t patches = requests[0].images[0].grid.patches();
  const Completion expected = run_alone(test_model(), Request(requests[0]), kSmall);

  EngineOptions options = kSmall;
  options.page_size = 2;
  options.kv_memory = kv_for_tokens(3 * prompt + 30);
  EngineStats stats;
  for (const Completion& completion : run_together(test_model(), std::move(requests), options, &stats)) {
    expect_same(completion, expected);
  }
  EXPECT_GT(stats.preemptions, 0);
  EXPECT_EQ(stats.vision_patches, patches * (3 + stats.preemptions));
}

TEST(Engine, ASeedGivesTheSameTextInAnyBatch) {
  const auto sampled = [](std::uint64_t seed) {
    Request request = make_request(test_model(), "sampled text", {}, 20);
    request.sampling = {.temperature = 1, .seed = seed};
    request.ignore_eos = true;
    return request;
  };
  std::vector<Request> requests;
  for (const std::uint64_t seed : {5, 6, 5, 7}) requests.push_back(sampled(seed));
  const auto completions = run_together(test_model(), std::move(requests), kSmall);
  EXPECT_EQ(completions[0].tokens, completions[2].tokens);
  EXPECT_NE(completions[0].tokens, completions[1].tokens);
  EXPECT_NE(completions[1].tokens, completions[3].tokens);
  EXPECT_EQ(run_alone(test_model(), sampled(7), kSmall).tokens, completions[3].tokens);
}

TEST(Engine, PaddingIdsAreNeverChosen) {
  const GlmOcr& model = test_model();
  ASSERT_LT(model.tokenizer().size(), model.config().text.vocab_size);
  Request request = make_request(model, "hot", {}, 300);
  request.sampling = {.temperature = 50, .seed = 1};
  request.ignore_eos = true;
  EXPECT_THAT(run_alone(model, std::move(request), kSmall).tokens, Each(Lt(model.tokenizer().size())));
}

TEST(Engine, TheContextEndsAsLength) {
  EngineOptions options = kSmall;
  options.kv_memory = kv_for_tokens(48);
  options.own_thread = false;
  EXPECT_EQ(Engine(test_model(), options).context_limit(), 48);
  Request request = make_request(test_model(), "on and on", {}, 100000);
  request.ignore_eos = true;
  const auto prompt = std::ssize(request.prompt.ids);
  const Completion completion = run_alone(test_model(), std::move(request), options);
  EXPECT_EQ(completion.finish_reason, FinishReason::length);
  EXPECT_EQ(completion.completion_tokens, 48 - prompt);
}

TEST(Engine, MaxTokensEndsAsLength) {
  Request request = make_request(test_model(), "short", {}, 4);
  request.ignore_eos = true;
  const Completion completion = run_alone(test_model(), std::move(request), kSmall);
  EXPECT_EQ(completion.finish_reason, FinishReason::length);
  EXPECT_EQ(completion.completion_tokens, 4);
}

TEST(Engine, LogprobsAndTheirAlternatives) {
  std::vector<TokenEvent> events;
  Request request = make_request(test_model(), "logprobs", {}, 6);
  request.sampling.logprobs = 4;
  request.on_token = [&](const TokenEvent& event) { events.push_back(event); };
  const Completion completion = run_alone(test_model(), std::move(request), kSmall);
  ASSERT_EQ(events.size(), completion.tokens.size());
  for (std::size_t i = 0; i < events.size(); ++i) {
    ASSERT_EQ(events[i].top.size(), 4u);
    EXPECT_EQ(events[i].top[0].first, completion.tokens[i]);  // greedy
    EXPECT_EQ(events[i].top[0].second, completion.logprobs[i]);
    EXPECT_LT(events[i].logprob, 0);
    EXPECT_GE(events[i].top[0].second, events[i].top[3].second);
  }
}

TEST(Engine, StatsAddUp) {
  EngineStats stats;
  const auto completions = run_together(test_model(), mixed_requests(test_model()), kSmall, &stats);
  std::int64_t prompt = 0, generated = 0;
  for (const Completion& completion : completions) {
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
  EXPECT_EQ(stats.kv_bytes, stats.total_pages * stats.page_size *
                                Engine::kv_bytes_per_token(test_model().config(), DType::f32));
  EXPECT_GT(stats.vision_seconds, 0);
  EXPECT_GT(stats.prefill_seconds, 0);
  EXPECT_GT(stats.decode_seconds, 0);
}

}  // namespace
}  // namespace glmocr::engine
