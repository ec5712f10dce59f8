// SPDX-License-Identifier: Apache-2.0
// How single requests begin and end: stop conditions, streams, cancelling, deadlines, refusals, failures.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/engine.h"
#include "unit/engine/test_model.h"

namespace glmocr::engine {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr EngineOptions kSmall{.kv_memory = 1 << 20, .page_size = 8, .own_thread = false};

Request text_request(int max_tokens = 24) {
  Request request = make_request(test_model(), "no picture at all", {}, max_tokens);
  request.ignore_eos = true;
  return request;
}

const Completion& text_alone() {
  static const Completion completion = run_alone(test_model(), text_request(), kSmall);
  return completion;
}

void run(Engine& engine) {
  while (engine.step()) {
  }
}

std::string error_of(const Completion& completion, ErrorCode code) {
  try {
    if (completion.error) std::rethrow_exception(completion.error);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code);
    return error.what();
  } catch (const std::exception& error) {
    return error.what();
  }
  return "no error";
}

TEST(EngineStop, AStopIdEndsTheTextAndIsNotShown) {
  const std::vector<TokenId>& all = text_alone().tokens;
  const TokenId stop = all[5];
  const auto first = std::find(all.begin(), all.end(), stop);
  Request request = text_request();
  request.ignore_eos = false;
  request.stop_ids = {stop};
  const Completion completion = run_alone(test_model(), std::move(request), kSmall);
  EXPECT_EQ(completion.finish_reason, FinishReason::stop);
  EXPECT_EQ(completion.tokens, std::vector<TokenId>(all.begin(), first + 1));
  EXPECT_EQ(completion.text, test_model().tokenizer().decode({all.begin(), first}));
}

TEST(EngineStop, EveryStopIdOfTheModelEnds) {
  // A prompt whose greedy text holds a stop id is rare: let sampling at high temperature find one.
  for (const TokenId stop : test_model().config().generation.eos_token_id) {
    bool found = false;
    for (std::uint64_t seed = 0; seed < 40 && !found; ++seed) {
      Request request = make_request(test_model(), "hot", {}, 200);
      request.sampling = {.temperature = 20, .seed = seed};
      const Completion completion = run_alone(test_model(), std::move(request), kSmall);
      found = completion.finish_reason == FinishReason::stop && completion.tokens.back() == stop;
    }
    EXPECT_TRUE(found) << stop;
  }
}

TEST(EngineStop, AStopStringAcrossTokenBordersCutsTheText) {
  const std::string& whole = text_alone().text;
  const Tokenizer& tokenizer = test_model().tokenizer();
  // The end of one token's text and the beginning of the next one's.
  std::string stop;
  for (std::size_t i = 4; stop.empty() && i + 1 < text_alone().tokens.size(); ++i) {
    const std::string a = tokenizer.decode({&text_alone().tokens[i], 1});
    const std::string b = tokenizer.decode({&text_alone().tokens[i + 1], 1});
    const bool ascii = !a.empty() && !b.empty() && static_cast<unsigned char>(a.back()) < 128 &&
                       static_cast<unsigned char>(b.front()) < 128;
    if (ascii) stop = std::string{a.back(), b.front()};
  }
  ASSERT_FALSE(stop.empty());
  Request request = text_request();
  request.stop = {"\x01never", stop};
  std::string streamed;
  request.on_token = [&](const TokenEvent& event) { streamed += event.text; };
  const Completion completion = run_alone(test_model(), std::move(request), kSmall);
  EXPECT_EQ(completion.finish_reason, FinishReason::stop);
  EXPECT_EQ(completion.text, whole.substr(0, whole.find(stop)));
  EXPECT_EQ(streamed, completion.text);
  EXPECT_LT(completion.completion_tokens, text_alone().completion_tokens);
}

TEST(EngineStream, EventsTogetherAreTheText) {
  Engine engine(test_model(), kSmall);
  std::string pushed;
  Request request = text_request();
  request.stop = {"zzz"};
  request.on_token = [&](const TokenEvent& event) { pushed += event.text; };
  const auto handle = engine.submit(std::move(request));
  run(engine);
  std::string pulled;
  std::vector<TokenId> tokens;
  while (const auto event = handle->next()) {
    pulled += event->text;
    tokens.push_back(event->token);
  }
  const Completion completion = handle->wait();
  EXPECT_EQ(completion.text, text_alone().text);
  EXPECT_EQ(pulled, completion.text);
  EXPECT_EQ(pushed, completion.text);
  EXPECT_EQ(tokens, completion.tokens);
}

TEST(EngineStream, TheLastTokenBringsWhatWasHeldBack) {
  Engine engine(test_model(), kSmall);
  Request request = text_request();
  request.stop = {text_alone().text + "never"};  // all the text could be its beginning
  const auto handle = engine.submit(std::move(request));
  run(engine);
  std::vector<TokenEvent> events;
  while (auto event = handle->next()) events.push_back(*event);
  ASSERT_EQ(events.size(), text_alone().tokens.size());
  EXPECT_EQ(events.front().text, "");
  EXPECT_EQ(events.back().text, text_alone().text);
}

TEST(EngineCancel, WhatWasGeneratedStaysAndTheOthersGoOn) {
  Engine engine(test_model(), kSmall);
  const auto cancelled = engine.submit(text_request());
  const auto other = engine.submit(text_request());
  for (int i = 0; i < 6; ++i) engine.step();
  cancelled->cancel();
  EXPECT_FALSE(cancelled->done());
  engine.step();
  ASSERT_TRUE(cancelled->done());
  EXPECT_FALSE(other->done());
  run(engine);

  const Completion completion = cancelled->wait();
  EXPECT_EQ(completion.finish_reason, FinishReason::cancelled);
  const std::vector<TokenId>& all = text_alone().tokens;
  EXPECT_EQ(completion.tokens, std::vector<TokenId>(all.begin(), all.begin() + 6));
  std::string streamed;
  while (const auto event = cancelled->next()) streamed += event->text;
  EXPECT_EQ(streamed, completion.text);
  EXPECT_EQ(other->wait().tokens, all);
  EXPECT_EQ(engine.stats().free_pages, engine.stats().total_pages);
}

TEST(EngineCancel, HeldBackTextComesWithTheEnd) {
  Engine engine(test_model(), kSmall);
  Request request = text_request();
  request.stop = {text_alone().text + "never"};  // all the text could be its beginning
  const auto handle = engine.submit(std::move(request));
  for (int i = 0; i < 6; ++i) engine.step();
  handle->cancel();
  run(engine);
  std::vector<TokenEvent> events;
  while (auto event = handle->next()) events.push_back(*event);
  ASSERT_EQ(events.size(), 7u);
  EXPECT_EQ(events[5].text, "");
  EXPECT_EQ(events[6].token, -1);
  EXPECT_EQ(events[6].text, handle->wait().text);
  EXPECT_FALSE(events[6].text.empty());
}

TEST(EngineCancel, AWaitingRequestToo) {
  EngineOptions options = kSmall;
  options.max_sequences = 1;
  Engine engine(test_model(), options);
  const auto first = engine.submit(text_request());
  const auto second = engine.submit(text_request());
  engine.step();
  EXPECT_EQ(engine.stats().waiting, 1);
  EXPECT_EQ(engine.stats().running, 1);
  second->cancel();
  engine.step();
  EXPECT_TRUE(second->done());
  EXPECT_EQ(second->wait().completion_tokens, 0);
  run(engine);
  EXPECT_EQ(first->wait().tokens, text_alone().tokens);
}

TEST(EngineDeadline, EndsTheTextWhereItStands) {
  Engine engine(test_model(), kSmall);
  Request late = text_request();
  late.deadline = std::chrono::steady_clock::now();
  const auto never_began = engine.submit(std::move(late));
  Request soon = text_request(100000);
  soon.deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(60);
  const auto cut = engine.submit(std::move(soon));
  run(engine);
  EXPECT_EQ(never_began->wait().finish_reason, FinishReason::cancelled);
  EXPECT_EQ(never_began->wait().completion_tokens, 0);
  EXPECT_EQ(cut->wait().finish_reason, FinishReason::cancelled);
  EXPECT_LT(cut->wait().completion_tokens, engine.context_limit() - cut->wait().prompt_tokens);
}

TEST(EngineFailure, AThrowingCallbackEndsItsOwnRequest) {
  Engine engine(test_model(), kSmall);
  Request bad = text_request();
  int calls = 0;
  bad.on_token = [&](const TokenEvent&) {
    if (++calls == 3) throw std::runtime_error("reader went away");
  };
  const auto failed = engine.submit(std::move(bad));
  const auto good = engine.submit(text_request());
  run(engine);
  const Completion completion = failed->wait();
  EXPECT_EQ(completion.finish_reason, FinishReason::error);
  EXPECT_EQ(error_of(completion, ErrorCode::internal), "reader went away");
  EXPECT_EQ(completion.completion_tokens, 3);
  EXPECT_EQ(good->wait().tokens, text_alone().tokens);
  EXPECT_EQ(engine.stats().failed_requests, 1);
  EXPECT_EQ(engine.stats().free_pages, engine.stats().total_pages);
}

TEST(EngineFailure, APictureTooLargeForTheDeviceEndsAloneThoughEncodedWithOthers) {
  // The arena takes its first 16 MiB and nothing more.
  const TestModel limited = load_test_model("ref", {.threads = 1, .memory_limit = 20 << 20});
  EngineOptions options = kSmall;
  options.kv_memory = 4 << 20;
  options.vision_patches = 100000;
  Engine engine(*limited.model, options);
  const auto small = [&] { return make_request(*limited.model, "Text Recognition:", {{84, 84}}, 6); };
  const auto first = engine.submit(small());
  const auto large = engine.submit(make_request(*limited.model, "large", {{1120, 1120}}, 6));
  const auto last = engine.submit(small());
  run(engine);
  EXPECT_EQ(large->wait().finish_reason, FinishReason::error);
  EXPECT_THAT(error_of(large->wait(), ErrorCode::memory), HasSubstr("memory limit"));
  const Completion expected =
      run_alone(test_model(), make_request(test_model(), "Text Recognition:", {{84, 84}}, 6), kSmall);
  EXPECT_EQ(first->wait().tokens, expected.tokens);
  EXPECT_EQ(last->wait().tokens, expected.tokens);
}

class EngineRefusal : public ::testing::Test {
 protected:
  std::string refused(Request request, ErrorCode code = ErrorCode::input) {
    try {
      engine_.submit(std::move(request));
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), code);
      return error.what();
    }
    return "accepted";
  }
  Engine engine_{test_model(), kSmall};
};

TEST_F(EngineRefusal, NamesWhatMakesNoSense) {
  Request request = text_request();
  request.prompt = {};
  EXPECT_THAT(refused(request), HasSubstr("the prompt is empty"));

  EXPECT_THAT(refused(text_request(0)), HasSubstr("max_tokens is 0, expected 1 or more"));

  request = text_request();
  request.sampling.top_p = 2;
  EXPECT_THAT(refused(request), HasSubstr("top_p is 2"));

  request = text_request();
  request.stop = {""};
  EXPECT_THAT(refused(request), HasSubstr("stop string 0 is empty"));

  request = text_request();
  request.stop_ids = {503};
  EXPECT_THAT(refused(request), AllOf(HasSubstr("stop ids"), HasSubstr("503, expected 0 to 502")));

  request = text_request();
  request.prompt.ids[3] = -5;
  EXPECT_THAT(refused(request), AllOf(HasSubstr("the prompt"), HasSubstr("-5")));

  request = text_request();
  request.prompt.positions.append(1, 1, 1);
  EXPECT_THAT(refused(request), HasSubstr("positions"));

  request = make_request(test_model(), "pictures", {{84, 84}});
  request.images.clear();
  EXPECT_THAT(refused(request), AllOf(HasSubstr("9 image tokens"), HasSubstr("0 pictures make 0")));
}

TEST_F(EngineRefusal, NamesTheSizeOfWhatCanNeverFit) {
  const std::int64_t token = Engine::kv_bytes_per_token(test_model().config(), DType::f32);
  std::string text;
  while (static_cast<std::int64_t>(test_model().tokenizer().encode(text).size()) < engine_.context_limit()) {
    text += "many words ";
  }
  EXPECT_THAT(refused(make_request(test_model(), text), ErrorCode::memory),
              AllOf(HasSubstr("tokens"), HasSubstr(std::to_string(engine_.context_limit() * token))));
}

TEST_F(EngineRefusal, APromptOfTheWholeContextLessOneIsTaken) {
  Request request = text_request(100);
  while (std::ssize(request.prompt.ids) < engine_.context_limit() - 1) {
    request.prompt.ids.push_back(5);
  }
  request.prompt.positions = mrope_positions(request.prompt.ids, test_model().config().image_token_id, {}, 2);
  Request longer = request;
  longer.prompt.ids.push_back(5);
  longer.prompt.positions = mrope_positions(longer.prompt.ids, test_model().config().image_token_id, {}, 2);
  EXPECT_THAT(refused(longer, ErrorCode::memory), HasSubstr("with one more it needs"));
  const auto handle = engine_.submit(std::move(request));
  handle->cancel();
  run(engine_);
  EXPECT_TRUE(handle->done());
}

TEST(EngineRefusals, APictureLargerThanTheWorkspace) {
  EngineOptions options = kSmall;
  options.workspace_memory = 4 << 20;
  Engine engine(test_model(), options);
  try {
    engine.submit(make_request(test_model(), "large", {{560, 560}}));
    FAIL() << "1,600 patches within 4 MiB";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::memory);
    EXPECT_THAT(error.what(), AllOf(HasSubstr("1600 patches"), HasSubstr("4194304")));
  }
  const auto handle = engine.submit(make_request(test_model(), "small", {{84, 84}}, 2));
  run(engine);
  EXPECT_EQ(handle->wait().error, nullptr);
}

TEST(EngineOptionsCheck, NamesTheOption) {
  const auto message = [](EngineOptions options) -> std::string {
    try {
      options.own_thread = false;
      Engine engine(test_model(), options);
    } catch (const Error& error) {
      return cat(to_string(error.code()), ": ", error.what());
    }
    return "accepted";
  };
  EXPECT_THAT(message({.page_size = 0}), AllOf(HasSubstr("usage"), HasSubstr("page_size is 0")));
  EXPECT_THAT(message({.max_sequences = 0}), HasSubstr("max_sequences"));
  EXPECT_THAT(message({.prefill_chunk = -1}), HasSubstr("prefill_chunk"));
  EXPECT_THAT(message({.vision_patches = 0}), HasSubstr("vision_patches"));
  EXPECT_THAT(message({.kv_memory = 100}), AllOf(HasSubstr("memory"), HasSubstr("100 bytes")));
  EXPECT_THAT(message({.workspace_memory = 1000}), AllOf(HasSubstr("memory"), HasSubstr("1000")));
  EXPECT_EQ(message({}), "accepted");
}

}  // namespace
}  // namespace glmocr::engine
