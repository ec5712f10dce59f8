// SPDX-License-Identifier: Apache-2.0
// How single requests begin and end: stop conditions, streams, cancelling, deadlines, refusals, failures.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <nlohmann/json.hpp>
#include <thread>

#include "base/mapped_file.h"
#include "base/memory.h"
#include "engine/core.h"
#include "support/expect_error.h"
#include "support/recording_device.h"
#include "support/temporary_folder.h"
#include "unit/engine/test_model.h"

namespace glmocr::engine {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

Request text_request(int max_tokens = 24) {
  Request request = test_request(test_model(), "no picture at all", {}, max_tokens);
  request.stop_ids.clear();
  return request;
}

const Result& text_alone() {
  static const Result completion = run_alone(test_model(), text_request(), kSmall);
  return completion;
}

void run(Core& engine) {
  while (engine.step()) {
  }
}

// What the request failed with.
std::string error_of(const Job& job, ErrorCode code) {
  try {
    job.wait();
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
  request.stop_ids = {stop};
  const Result completion = run_alone(test_model(), std::move(request), kSmall);
  EXPECT_EQ(completion.finish_reason, FinishReason::stop);
  EXPECT_EQ(completion.tokens, std::vector<TokenId>(all.begin(), first + 1));
  EXPECT_EQ(completion.text, test_model().tokenizer().decode({all.begin(), first}));
}

TEST(EngineStop, EveryStopIdOfTheModelEnds) {
  // Few prompts have a stop id in their greedy text: sampling at high temperature finds one.
  for (const TokenId stop : test_model().config().generation.eos_token_id) {
    bool found = false;
    for (std::uint64_t seed = 0; seed < 40 && !found; ++seed) {
      Request request = test_request(test_model(), "hot", {}, 200);
      request.options.sampling = {.temperature = 20, .seed = seed};
      const Result completion = run_alone(test_model(), std::move(request), kSmall);
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
  request.options.stop = {"\x01never", stop};
  std::string streamed;
  request.options.on_token = [&](const TokenEvent& event) { streamed += event.text; };
  const Result completion = run_alone(test_model(), std::move(request), kSmall);
  EXPECT_EQ(completion.finish_reason, FinishReason::stop);
  EXPECT_EQ(completion.text, whole.substr(0, whole.find(stop)));
  EXPECT_EQ(streamed, completion.text);
  EXPECT_LT(completion.completion_tokens, text_alone().completion_tokens);
}

TEST(EngineStream, EventsTogetherAreTheText) {
  Core engine(test_model(), kSmall);
  std::string pushed;
  Request request = text_request();
  request.options.stop = {"zzz"};
  request.options.on_token = [&](const TokenEvent& event) { pushed += event.text; };
  const Job handle = submit(engine, std::move(request));
  run(engine);
  std::string pulled;
  std::vector<TokenId> tokens;
  while (const auto event = handle.next()) {
    pulled += event->text;
    tokens.push_back(event->token);
  }
  const Result completion = handle.wait();
  EXPECT_EQ(completion.text, text_alone().text);
  EXPECT_EQ(pulled, completion.text);
  EXPECT_EQ(pushed, completion.text);
  EXPECT_EQ(tokens, completion.tokens);
}

TEST(EngineStream, TheLastTokenBringsWhatWasHeldBack) {
  Core engine(test_model(), kSmall);
  Request request = text_request();
  request.options.stop = {text_alone().text + "never"};  // all the text could be its beginning
  const Job handle = submit(engine, std::move(request));
  run(engine);
  std::vector<TokenEvent> events;
  while (auto event = handle.next()) events.push_back(*event);
  ASSERT_EQ(events.size(), text_alone().tokens.size());
  EXPECT_EQ(events.front().text, "");
  EXPECT_EQ(events.back().text, text_alone().text);
}

TEST(EngineCancel, WhatWasGeneratedStaysAndTheOthersGoOn) {
  Core engine(test_model(), kSmall);
  const Job cancelled = submit(engine, text_request());
  const Job other = submit(engine, text_request());
  for (int i = 0; i < 6; ++i) engine.step();
  cancelled.cancel();
  EXPECT_FALSE(cancelled.done());
  engine.step();
  ASSERT_TRUE(cancelled.done());
  EXPECT_FALSE(other.done());
  run(engine);

  const Result completion = cancelled.wait();
  EXPECT_EQ(completion.finish_reason, FinishReason::cancelled);
  const std::vector<TokenId>& all = text_alone().tokens;
  EXPECT_EQ(completion.tokens, std::vector<TokenId>(all.begin(), all.begin() + 6));
  std::string streamed;
  while (const auto event = cancelled.next()) streamed += event->text;
  EXPECT_EQ(streamed, completion.text);
  EXPECT_EQ(other.wait().tokens, all);
  EXPECT_EQ(engine.stats().free_pages, engine.stats().total_pages);
}

TEST(EngineCancel, HeldBackTextComesWithTheEnd) {
  Core engine(test_model(), kSmall);
  Request request = text_request();
  request.options.stop = {text_alone().text + "never"};  // all the text could be its beginning
  const Job handle = submit(engine, std::move(request));
  for (int i = 0; i < 6; ++i) engine.step();
  handle.cancel();
  run(engine);
  std::vector<TokenEvent> events;
  while (auto event = handle.next()) events.push_back(*event);
  ASSERT_EQ(events.size(), 7u);
  EXPECT_EQ(events[5].text, "");
  EXPECT_EQ(events[6].token, -1);
  EXPECT_EQ(events[6].text, handle.wait().text);
  EXPECT_FALSE(events[6].text.empty());
}

TEST(EngineCancel, AWaitingRequestToo) {
  EngineOptions options = kSmall;
  options.max_sequences = 1;
  Core engine(test_model(), options);
  const Job first = submit(engine, text_request());
  const Job second = submit(engine, text_request());
  engine.step();
  EXPECT_EQ(engine.queue().waiting(), 1);
  EXPECT_EQ(engine.stats().running, 1);
  second.cancel();
  engine.step();
  EXPECT_TRUE(second.done());
  EXPECT_EQ(second.wait().completion_tokens, 0);
  run(engine);
  EXPECT_EQ(first.wait().tokens, text_alone().tokens);
}

TEST(EngineTimeLimit, EndsTheTextWhereItStands) {
  Core engine(test_model(), kSmall);
  Request none = text_request();
  none.options.time_limit = std::chrono::milliseconds(0);
  const Job at_once = submit(engine, std::move(none));
  Request soon = text_request(100000);
  soon.options.time_limit = std::chrono::milliseconds(60);
  const Job cut = submit(engine, std::move(soon));
  run(engine);
  EXPECT_EQ(at_once.wait().finish_reason, FinishReason::time_limit);
  EXPECT_LE(at_once.wait().completion_tokens, 1) << "of the step that it was admitted in";
  EXPECT_EQ(cut.wait().finish_reason, FinishReason::time_limit);
  EXPECT_GT(cut.wait().completion_tokens, 0);
  EXPECT_LT(cut.wait().completion_tokens, engine.limits().context - cut.wait().prompt_tokens);
}

TEST(EngineTimeLimit, DoesNotCountTheQueue) {
  constexpr std::chrono::milliseconds kLimit(1);
  Core engine(test_model(), kSmall);
  Request request = text_request(1);  // ends in the step that it is admitted in
  request.options.time_limit = kLimit;
  const Job job = submit(engine, std::move(request));
  std::this_thread::sleep_for(5 * kLimit);
  run(engine);
  EXPECT_EQ(job.wait().finish_reason, FinishReason::length);
  EXPECT_EQ(job.wait().completion_tokens, 1);
}

// What was preempted is not in the queue: its time goes on.
TEST(EngineTimeLimit, CountsTheTimeAfterAPreemption) {
  using Clock = Sequence::Clock;
  Request request = text_request();
  request.options.time_limit = std::chrono::seconds(1);
  Sequence sequence(std::move(request), test_model().config(), test_model().tokenizer(), 1000);
  const Clock::time_point begin = Clock::now() + std::chrono::hours(1);
  EXPECT_EQ(sequence.interruption(begin), std::nullopt) << "waits";
  sequence.admit(begin, "ref");
  EXPECT_EQ(sequence.interruption(begin + std::chrono::milliseconds(900)), std::nullopt);
  sequence.preempt();
  EXPECT_EQ(sequence.interruption(begin + std::chrono::milliseconds(999)), std::nullopt);
  EXPECT_EQ(sequence.interruption(begin + std::chrono::seconds(1)), FinishReason::time_limit);
  sequence.admit(begin + std::chrono::seconds(2), "ref");
  EXPECT_EQ(sequence.interruption(begin + std::chrono::seconds(2)), FinishReason::time_limit);
}

TEST(EngineFailure, AThrowingCallbackEndsItsOwnRequest) {
  Core engine(test_model(), kSmall);
  Request bad = text_request();
  int calls = 0;
  bad.options.on_token = [&](const TokenEvent&) {
    if (++calls == 3) throw std::runtime_error("reader went away");
  };
  const Job failed = submit(engine, std::move(bad));
  const Job good = submit(engine, text_request());
  run(engine);
  EXPECT_EQ(error_of(failed, ErrorCode::internal), "reader went away");
  EXPECT_EQ(calls, 3);
  EXPECT_EQ(good.wait().tokens, text_alone().tokens);
  EXPECT_EQ(engine.stats().failed, 1);
  EXPECT_EQ(engine.stats().free_pages, engine.stats().total_pages);
}

// Without a limit of its own the engine plans with what the device's owner has taken already.
TEST(EngineFailure, APictureThatDoesNotFitEndsAloneThoughEncodedWithOthers) {
  const auto memory = std::make_shared<MemoryBudget>(std::int64_t{64} << 20);
  const TestModel limited = load_test_model("ref", {.threads = 1, .memory = memory});
  EngineOptions options = kSmall;
  options.kv_memory = 4 << 20;
  options.vision_patches = 100000;
  Core engine(*limited.model, options);
  const auto small = [&] { return test_request(*limited.model, "Text Recognition:", {{84, 84}}, 6); };
  const Job first = submit(engine, small());
  const Job large = submit(engine, test_request(*limited.model, "large", {{560, 560}}, 6));
  const Job last = submit(engine, small());
  // Takes the memory that the picture's features would need.
  const MemoryShare other(memory, memory->limit() - memory->used(), "another user");
  run(engine);
  const Result expected =
      run_alone(test_model(), test_request(test_model(), "Text Recognition:", {{84, 84}}, 6), kSmall);
  EXPECT_EQ(first.wait().tokens, expected.tokens);
  EXPECT_EQ(last.wait().tokens, expected.tokens);
  EXPECT_NO_THROW(large.wait()) << "workspace and features are reserved";
}

class EngineRefusal : public ::testing::Test {
 protected:
  std::string refused(Request request, ErrorCode code = ErrorCode::input) {
    try {
      submit(engine_, std::move(request));
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), code);
      return error.what();
    }
    return "accepted";
  }
  Core engine_{test_model(), kSmall};
};

TEST_F(EngineRefusal, NamesWhatMakesNoSense) {
  Request request = text_request();
  request.prompt = {};
  EXPECT_THAT(refused(request), HasSubstr("the prompt is empty"));

  EXPECT_THAT(refused(text_request(0)), HasSubstr("max_tokens is 0, expected 1 or more"));

  request = text_request();
  request.options.sampling.top_p = 2;
  EXPECT_THAT(refused(request), HasSubstr("top_p is 2"));

  request = text_request();
  request.options.stop = {""};
  EXPECT_THAT(refused(request), HasSubstr("stop string 1 is empty"));

  request = text_request();
  request.stop_ids = {503};
  EXPECT_THAT(refused(request), AllOf(HasSubstr("stop ids"), HasSubstr("503, expected 0 to 502")));

  request = text_request();
  request.prompt.ids[3] = -5;
  EXPECT_THAT(refused(request), AllOf(HasSubstr("the prompt"), HasSubstr("-5")));

  request = text_request();
  request.prompt.positions.append(1, 1, 1);
  EXPECT_THAT(refused(request), HasSubstr("positions"));

  request = test_request(test_model(), "pictures", {{84, 84}});
  request.images.clear();
  EXPECT_THAT(refused(request), AllOf(HasSubstr("9 image tokens"), HasSubstr("0 pictures make 0")));
}

TEST_F(EngineRefusal, NamesTheSizeOfWhatCanNeverFit) {
  const std::int64_t token = kv_bytes_per_token(test_model());
  std::string text;
  while (static_cast<std::int64_t>(test_model().tokenizer().encode(text).size()) < engine_.limits().context) {
    text += "many words ";
  }
  EXPECT_THAT(refused(test_request(test_model(), text), ErrorCode::memory),
              AllOf(HasSubstr("tokens"), HasSubstr(size_text(engine_.limits().context * token))));
}

TEST_F(EngineRefusal, APromptOfTheWholeContextLessOneIsTaken) {
  Request request = text_request(100);
  while (std::ssize(request.prompt.ids) < engine_.limits().context - 1) {
    request.prompt.ids.push_back(5);
  }
  request.prompt.positions = mrope_positions(request.prompt.ids, test_model().config().image_token_id, {}, 2);
  Request longer = request;
  longer.prompt.ids.push_back(5);
  longer.prompt.positions = mrope_positions(longer.prompt.ids, test_model().config().image_token_id, {}, 2);
  EXPECT_THAT(refused(longer, ErrorCode::memory), HasSubstr("with one more it needs"));
  const Job handle = submit(engine_, std::move(request));
  handle.cancel();
  run(engine_);
  EXPECT_TRUE(handle.done());
}

TEST(EngineRefusals, APictureLargerThanTheMemoryLimitLeaves) {
  const TestModel limited =
      load_test_model("ref", {.threads = 1, .memory = std::make_shared<MemoryBudget>(std::int64_t{6} << 20)});
  Core engine(*limited.model, {.max_sequences = 2, .page_size = 8});
  try {
    submit(engine, test_request(*limited.model, "large", {{1120, 1120}}));
    FAIL() << "6,400 patches within 6 MiB";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::memory);
    EXPECT_THAT(error.what(), AllOf(HasSubstr("6400 patches"), HasSubstr("MiB")));
  }
  const Job job = submit(engine, test_request(*limited.model, "small", {{84, 84}}, 2));
  run(engine);
  EXPECT_NO_THROW(job.wait());
  EXPECT_LE(engine.stats().peak_memory_bytes, std::int64_t{6} << 20);
}

TEST(EngineRefusals, ALimitThatCannotWorkNamesOneThatCan) {
  const auto read_within = [](std::int64_t limit) {
    const auto memory = std::make_shared<MemoryBudget>(limit);
    const TestModel model = load_test_model("ref", {.threads = 1, .memory = memory});
    Core engine(*model.model, {});
    const Job job = submit(engine, test_request(*model.model, "Text Recognition:", {{28, 28}}, 4));
    run(engine);
    job.wait();
    EXPECT_LE(memory->peak(), limit);
  };
  std::string message;
  try {
    read_within(900 << 10);
    FAIL() << "works in 900 KiB";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::memory);
    message = error.what();
  }
  const std::size_t end = message.find(" MiB is the least");
  ASSERT_NE(end, std::string::npos) << message;
  const std::int64_t least = std::stoll(message.substr(message.rfind(' ', end - 1)));
  EXPECT_NO_THROW(read_within(least << 20));
}

// The workspace of an engine is given back with it.
TEST(EngineMemory, TheNextEngineOfAModelGetsAsMuch) {
  const std::int64_t limit = std::int64_t{6} << 20;
  const auto memory = std::make_shared<MemoryBudget>(limit);
  const TestModel limited = load_test_model("ref", {.threads = 1, .memory = memory});
  const std::int64_t used = memory->used();
  std::int64_t pages = 0;
  for (int i = 0; i < 3; ++i) {
    Core engine(*limited.model, {});
    if (i == 0) pages = engine.stats().total_pages;
    EXPECT_EQ(engine.stats().total_pages, pages);
    const Job job = submit(engine, test_request(*limited.model, "Text Recognition:", {{84, 84}}, 2));
    run(engine);
    EXPECT_NO_THROW(job.wait());
  }
  EXPECT_EQ(memory->used(), used);
}

// The last rows of a chunked prompt may be few, so the chunks must not depend on the number of sequences.
TEST(EngineMemory, TheChunkDependsOnTheLimitAlone) {
  for (std::int64_t limit = std::int64_t{2} << 20; limit <= std::int64_t{64} << 20; limit += limit / 4) {
    const TestModel limited =
        load_test_model("ref", {.threads = 1, .memory = std::make_shared<MemoryBudget>(limit)});
    const auto chunk = [&](int sequences) {
      return Core(*limited.model, {.max_sequences = sequences}).limits().plan.prefill_chunk;
    };
    const int alone = chunk(1);
    for (const int sequences : {2, 5, 16, 32, 100}) EXPECT_EQ(chunk(sequences), alone) << limit;
  }
}

// However small, a picture is enlarged to whole blocks of patches, which are more than shortest_edge asks for.
TEST(EngineMemory, WhatHasRoomForAnEngineHasRoomForASmallPicture) {
  const EngineOptions options{.max_sequences = 1, .page_size = 8, .prefill_chunk = 1};
  for (std::int64_t limit = std::int64_t{1} << 20;; limit += std::int64_t{4} << 10) {
    ASSERT_LT(limit, std::int64_t{8} << 20);
    const TestModel limited =
        load_test_model("ref", {.threads = 1, .memory = std::make_shared<MemoryBudget>(limit)});
    std::optional<Core> engine;
    try {
      engine.emplace(*limited.model, options);
    } catch (const Error&) {
      continue;
    }
    EXPECT_NO_THROW(submit(*engine, test_request(*limited.model, "Text Recognition:", {{28, 28}}, 2)));
    return;
  }
}

TEST(EngineBusy, MoreWaitThanMayWait) {
  EngineOptions options = kSmall;
  options.max_sequences = 1;
  options.max_waiting = 3;
  Core engine(test_model(), options);
  std::vector<Job> jobs;
  for (int i = 0; i < 3; ++i) jobs.push_back(submit(engine, text_request()));
  const auto refused = [&] {
    expect_error(ErrorCode::busy, {"3 requests are waiting", "max_waiting"},
                 [&] { submit(engine, text_request()); });
  };
  refused();
  engine.step();  // the first runs now
  jobs.push_back(submit(engine, text_request()));
  refused();
  run(engine);
  for (const Job& job : jobs) EXPECT_EQ(job.wait().tokens, text_alone().tokens);
  EXPECT_NO_THROW(submit(engine, text_request()));
}

TEST(EngineBusy, ThePicturesOfWaitingRequestsCount) {
  const auto memory = std::make_shared<MemoryBudget>(std::int64_t{12} << 20);
  const TestModel limited = load_test_model("ref", {.threads = 1, .memory = memory});
  Core engine(*limited.model, {.max_sequences = 1});
  const Request request = test_request(*limited.model, "waits", {{112, 112}}, 2);
  std::vector<Job> jobs;
  const auto fill = [&] {
    for (;;) jobs.push_back(submit(engine, request));
  };
  expect_error(ErrorCode::busy, {"fill the memory"}, fill);
  EXPECT_GT(jobs.size(), 1u);
  EXPECT_LT(jobs.size(), 256u);
  run(engine);
  for (const Job& job : jobs) EXPECT_NO_THROW(job.wait());
  EXPECT_NO_THROW(submit(engine, request));
}

TEST(EngineOptionsCheck, NamesTheOption) {
  const auto message = [](EngineOptions options) -> std::string {
    try {
      Core engine(test_model(), options);
    } catch (const Error& error) {
      return cat(to_string(error.code()), ": ", error.what());
    }
    return "accepted";
  };
  EXPECT_THAT(message({.page_size = 0}), AllOf(HasSubstr("usage"), HasSubstr("page_size is 0")));
  EXPECT_THAT(message({.max_sequences = 0}), HasSubstr("max_sequences"));
  EXPECT_THAT(message({.prefill_chunk = -1}), HasSubstr("prefill_chunk"));
  EXPECT_THAT(message({.vision_patches = -1}), HasSubstr("vision_patches"));
  EXPECT_THAT(message({.max_waiting = 0}), HasSubstr("max_waiting"));
  EXPECT_THAT(message({.kv_memory = 100}), AllOf(HasSubstr("memory"), HasSubstr("100 B")));
  EXPECT_EQ(message({}), "accepted");
}

// The test model with NaN in the embedding of one token.
TestModel load_spoilt_model(Device& device, TokenId token) {
  const TemporaryFolder folder;
  const std::filesystem::path sound = std::filesystem::path(GLMOCR_TEST_DATA) / "awkward";
  for (const auto& entry : std::filesystem::directory_iterator(sound)) {
    std::filesystem::copy_file(entry.path(), folder.path() / entry.path().filename());
  }
  const std::string shard = "model-00001-of-00002.safetensors";
  std::string bytes = read_file(sound / shard);
  std::uint64_t header = 0;
  std::memcpy(&header, bytes.data(), sizeof header);
  const nlohmann::json tensor =
      nlohmann::json::parse(bytes.substr(8, header)).at("model.language_model.embed_tokens.weight");
  const std::int64_t width = tensor.at("shape").at(1), begin = tensor.at("data_offsets").at(0);
  bytes.replace(8 + header + begin + 2 * width * token, 2, "\xc0\x7f");  // bf16
  folder.write(shard, bytes);
  TestModel loaded;
  loaded.model = GlmOcr::load(folder.path(), device, DType::f32);
  return loaded;
}

// On the CPU, and on a device that runs ahead of what the engine has read.
TEST(EngineFailure, LogitsThatAreNotFiniteFailTheirRequestAndNoOther) {
  const TokenId spoilt = 300;
  for (const bool ahead : {false, true}) {
    const std::unique_ptr<Device> device =
        ahead ? std::make_unique<test::RecordingDevice>(2) : open_device("cpu", {.threads = 1});
    const TestModel loaded = load_spoilt_model(*device, spoilt);
    const Result expected = run_alone(*loaded.model, text_request(), kSmall);
    Core engine(*loaded.model, kSmall);
    Request bad = text_request();
    bad.prompt.ids.back() = spoilt;
    const Job before = submit(engine, text_request());
    const Job failing = submit(engine, std::move(bad));
    const Job after = submit(engine, text_request());
    run(engine);
    EXPECT_THAT(error_of(failing, ErrorCode::model), AllOf(HasSubstr("not finite"), HasSubstr("NaN")));
    EXPECT_EQ(before.wait().tokens, expected.tokens);
    EXPECT_EQ(after.wait().tokens, expected.tokens);
    EXPECT_EQ(engine.stats().failed, 1);
  }
}

}  // namespace
}  // namespace glmocr::engine
