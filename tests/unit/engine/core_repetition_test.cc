// SPDX-License-Identifier: Apache-2.0
// Texts that the repetition guard cuts, in the engine.
#include <gtest/gtest.h>

#include <cstring>
#include <nlohmann/json.hpp>

#include "base/mapped_file.h"
#include "base/utf8.h"
#include "engine/core.h"
#include "support/recording_device.h"
#include "support/temporary_folder.h"
#include "unit/engine/test_model.h"

namespace glmocr::engine {
namespace {

namespace fs = std::filesystem;

constexpr EngineOptions kOptions{.kv_memory = 16 << 20, .page_size = 8};
constexpr int kMaxTokens = 600;

// A safetensors file in which the decoder's layers add nothing to their input.
std::string without_layers(std::string file) {
  std::uint64_t length = 0;
  std::memcpy(&length, file.data(), sizeof length);
  const std::int64_t data = sizeof length + static_cast<std::int64_t>(length);
  const nlohmann::json header = nlohmann::json::parse(file.substr(sizeof length, length));
  for (const auto& [name, tensor] : header.items()) {
    if (name.find("post_self_attn_layernorm") == std::string::npos &&
        name.find("post_mlp_layernorm") == std::string::npos) {
      continue;
    }
    const std::int64_t begin = tensor["data_offsets"][0], end = tensor["data_offsets"][1];
    std::fill(file.begin() + data + begin, file.begin() + data + end, '\0');
  }
  return file;
}

// Its next token depends on the last one alone, so it repeats itself sooner or later.
TestModel load_looping_model(std::unique_ptr<Device> device) {
  const TemporaryFolder folder;
  for (const auto& entry : fs::directory_iterator(fs::path(GLMOCR_TEST_DATA) / "awkward")) {
    const std::string content = read_file(entry.path().string());
    folder.write(entry.path().filename().string(),
                 entry.path().extension() == ".safetensors" ? without_layers(content) : content);
  }
  TestModel loaded{.device = std::move(device), .model = nullptr};
  loaded.model = GlmOcr::load(folder.path(), *loaded.device, DType::f32);
  return loaded;
}

const GlmOcr& looping_model() {
  static const TestModel loaded = load_looping_model(open_device("ref", {.threads = 1}));
  return *loaded.model;
}

Request looping_request(const GlmOcr& model, bool guard = true) {
  Request request = test_request(model, "Text Recognition:", {{84, 112}}, kMaxTokens);
  request.stop_ids.clear();
  request.options.guard = guard;
  request.room = text_room(request.images, model.config().preprocess.patch_size);
  return request;
}

const Result& cut_alone() {
  static const Result result = run_alone(looping_model(), looping_request(looping_model()), kOptions);
  return result;
}

void expect_equal(const Result& a, const Result& b) {
  EXPECT_EQ(a.finish_reason, b.finish_reason);
  EXPECT_EQ(a.tokens, b.tokens);
  EXPECT_EQ(a.logprobs.size(), b.logprobs.size());
  EXPECT_EQ(a.text, b.text);
  EXPECT_EQ(a.void_characters, b.void_characters);
}

TEST(EngineRepetition, TheResultIsCutAndTheStreamIsNot) {
  Core engine(looping_model(), kOptions);
  const Job job = submit(engine, looping_request(looping_model()));
  while (engine.step()) {
  }
  const Result result = job.wait();
  EXPECT_EQ(result.finish_reason, FinishReason::repetition);
  EXPECT_EQ(result.completion_tokens, std::ssize(result.tokens));
  EXPECT_EQ(result.logprobs.size(), result.tokens.size());
  EXPECT_EQ(result.text, looping_model().tokenizer().decode(result.tokens));

  std::string streamed;
  std::int64_t events = 0;
  while (const auto event = job.next()) {
    streamed += event->text;
    ++events;
  }
  EXPECT_LT(events, kMaxTokens);
  EXPECT_GT(events, result.completion_tokens);
  EXPECT_TRUE(streamed.starts_with(result.text));
  EXPECT_GT(result.void_characters, 0);
  EXPECT_EQ(std::ssize(decode_utf8(streamed)), std::ssize(decode_utf8(result.text)) + result.void_characters);
}

TEST(EngineRepetition, WithoutTheGuardTheTextGoesOn) {
  const Result result = run_alone(looping_model(), looping_request(looping_model(), false), kOptions);
  EXPECT_EQ(result.finish_reason, FinishReason::length);
  ASSERT_EQ(result.completion_tokens, kMaxTokens);
  EXPECT_EQ(result.void_characters, 0);
  const std::vector<TokenId>& kept = cut_alone().tokens;
  EXPECT_TRUE(std::equal(kept.begin(), kept.end(), result.tokens.begin()));
}

TEST(EngineRepetition, ABatchAndADeviceThatRunsAheadGiveTheSameCut) {
  for (const int depth : {1, 2}) {
    const TestModel recording = load_looping_model(std::make_unique<test::RecordingDevice>(depth));
    std::vector<Request> requests = mixed_requests(*recording.model);
    const std::size_t others = requests.size();
    for (int i = 0; i < 2; ++i) requests.push_back(looping_request(*recording.model));
    const std::vector<Result> results = run_together(*recording.model, std::move(requests), kOptions);
    for (std::size_t i = others; i < results.size(); ++i) expect_equal(results[i], cut_alone());
    expect_equal(run_alone(*recording.model, looping_request(*recording.model), kOptions), cut_alone());
  }
}

TEST(EngineRepetition, PreemptionDoesNotMoveTheCut) {
  EngineOptions options = kOptions;
  options.page_size = 2;
  options.kv_memory = 600 * kv_bytes_per_token(looping_model());
  std::vector<Request> requests;
  for (int i = 0; i < 3; ++i) requests.push_back(looping_request(looping_model()));
  EngineStats stats;
  for (const Result& result : run_together(looping_model(), std::move(requests), options, &stats)) {
    EXPECT_EQ(result.tokens, cut_alone().tokens);
  }
  EXPECT_GT(stats.preemptions, 0);
}

}  // namespace
}  // namespace glmocr::engine
