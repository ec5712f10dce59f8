// SPDX-License-Identifier: Apache-2.0
#include "glmocr/model.h"

#include <gmock/gmock.h>

#include <cstdlib>
#include <filesystem>

#include "glmocr/engine.h"
#include "support/expect_error.h"

namespace glmocr {
namespace {

const std::string kMini = std::string(GLMOCR_SOURCE_DIR) + "/models/mini";

Model load(std::int64_t memory_limit = 0) {
  LoadOptions options;
  options.memory_limit = memory_limit;
  return Model::load(kMini, options);
}

TEST(Model, RefusesOptionsOutOfRange) {
  LoadOptions threads, memory;
  threads.threads = -1;
  memory.memory_limit = -1;
  expect_error(ErrorCode::usage, {"threads is -1"}, [&] { Model::load(kMini, threads); });
  expect_error(ErrorCode::usage, {"memory_limit is -1"}, [&] { Model::load(kMini, memory); });
}

TEST(Model, TextThereAndBack) {
  const Model model = load();
  const std::string text = "Total: 17,50 € <|image|>";
  const std::vector<TokenId> ids = model.tokenize(text);
  EXPECT_EQ(model.detokenize(ids), text);
  EXPECT_LT(model.tokenize(text, true).size(), ids.size());
  EXPECT_EQ(model.token_text(-1), "");
}

TEST(ModelInfo, ThePlanWithoutALimitTakesTheLargestPicture) {
  const ModelInfo info = load().info();
  EXPECT_EQ(info.path, kMini);
  EXPECT_GT(info.mapped_bytes, 0);
  EXPECT_GT(info.kv_bytes_per_token, 0);
  EXPECT_EQ(info.memory.limit, 0);
  EXPECT_GT(info.memory.largest_picture_patches, 0);
  EXPECT_EQ(info.memory.picture_patches, info.memory.largest_picture_patches);
  EXPECT_GE(info.memory.keys_and_values, info.memory.context_tokens * info.kv_bytes_per_token);
}

TEST(ModelInfo, ThePlanStaysWithinALimit) {
  constexpr std::int64_t kLimit = 64 << 20;
  const ModelInfo info = load(kLimit).info();
  const MemoryPlan& plan = info.memory;
  EXPECT_EQ(plan.limit, kLimit);
  EXPECT_LE(info.copied_bytes + plan.keys_and_values + plan.step, kLimit);
  EXPECT_LE(info.copied_bytes + plan.keys_and_values + plan.picture, kLimit);
  EXPECT_GE(plan.picture_patches, 32 * 16);  // 448×224
  EXPECT_LT(plan.picture_patches, plan.largest_picture_patches);
}

TEST(ModelInfo, ALimitThatCannotWorkIsRefusedAsTheEngineRefusesIt) {
  const Model model = load(1 << 20);
  expect_error(ErrorCode::memory, {"MiB"}, [&] { model.info(); });
  expect_error(ErrorCode::memory, {"MiB"}, [&] { Engine engine(model); });
}

TEST(Model, ForwardWaitsForNoEngine) {
  const Model model = load();
  const std::vector<Image> images = {load_image(std::string(GLMOCR_TEST_DATA) + "/pictures/word_56x56.png")};
  const Logits logits = model.forward(images, "Text Recognition:");
  EXPECT_EQ(logits.top(1).size(), 1u);
  EXPECT_EQ(model.forward(images, "Text Recognition:").values, logits.values);
  const Engine engine(model);
  expect_error(ErrorCode::usage, {"engine"}, [&] { model.forward(images, "Text Recognition:"); });
  expect_error(ErrorCode::usage, {"engine"}, [&] { const Engine second(model); });
}

TEST(Model, SeveralDevicesReadTogether) {
  LoadOptions options;
  options.device = "cpu,cpu";
  const Model model = Model::load(kMini, options);
  EXPECT_EQ(model.info().device, "cpu,cpu");
  EXPECT_EQ(model.info().devices, (std::vector<std::string>{"cpu", "cpu"}));
  EXPECT_EQ(model.info().mapped_bytes, load().info().mapped_bytes);
  const std::vector<Image> images = {load_image(std::string(GLMOCR_TEST_DATA) + "/pictures/word_56x56.png")};
  EXPECT_EQ(model.forward(images, "Text Recognition:").values,
            load().forward(images, "Text Recognition:").values);
  const std::string expected = Reader(load()).read(images[0]).text;
  Engine engine(model, {.max_sequences = 2});
  std::vector<Job> jobs;
  for (int i = 0; i < 8; ++i) jobs.push_back(engine.submit(images));
  for (const Job& job : jobs) {
    const Result result = job.wait();
    EXPECT_EQ(result.text, expected);
    EXPECT_EQ(result.device, "cpu");
  }
  const EngineStats stats = engine.stats();
  EXPECT_EQ(stats.finished, 8);
  ASSERT_EQ(stats.devices.size(), 2u);
  std::int64_t finished = 0, tokens = 0;
  for (const DeviceStats& device : stats.devices) {
    EXPECT_EQ(device.device, "cpu");
    EXPECT_FALSE(device.lost);
    EXPECT_GT(device.finished, 0);
    finished += device.finished;
    tokens += device.completion_tokens;
  }
  EXPECT_EQ(finished, 8);
  EXPECT_EQ(tokens, stats.completion_tokens);
}

TEST(Model, AListOfDevicesThatCannotWorkIsRefused) {
  const auto refused = [](const std::string& list, ErrorCode code, const std::vector<std::string>& parts) {
    SCOPED_TRACE(list);
    LoadOptions options;
    options.device = list;
    expect_error(code, parts, [&] { Model::load(kMini, options); });
  };
  refused("cpu,", ErrorCode::usage, {"\"cpu,\"", "a name is empty"});
  refused(",cpu", ErrorCode::usage, {"a name is empty"});
  refused("cpu,auto", ErrorCode::usage, {"\"auto\""});
  refused("cpu,cuda:0", ErrorCode::usage, {"\"cpu\"", "\"cuda:0\"", "different kinds"});
  refused("cuda:0,cuda:1,cuda:0", ErrorCode::usage, {"\"cuda:0\" is named twice"});
  refused("cuda:1,cuda:1:sm80", ErrorCode::usage, {"\"cuda:1\" is named twice"});
  refused("cpu,cpu:no_such_set", ErrorCode::device, {"no_such_set", "available"});
  refused("cuda:998,cuda:999", ErrorCode::device, {"cuda:99"});
}

// A limit holds for each device, and is refused with the smallest that works.
TEST(Model, SeveralDevicesHaveALimitEach) {
  LoadOptions options;
  options.device = "cpu,cpu";
  options.memory_limit = 64 << 20;
  EXPECT_EQ(Model::load(kMini, options).info().memory.picture_patches,
            load(64 << 20).info().memory.picture_patches);
  options.memory_limit = 1 << 20;
  const Model model = Model::load(kMini, options);
  expect_error(ErrorCode::memory, {"MiB"}, [&] { Engine engine(model); });
  options.memory_limit = 1 << 10;
  options.dtype = ComputeType::bf16;
  options.quantization = Quantization::int8;
  expect_error(ErrorCode::memory, {"1.0 KiB"}, [&] { Model::load(kMini, options); });
}

TEST(DefaultModelPath, IsTheVariableElseTheEmbeddedModel) {
  ASSERT_EQ(::setenv("GLMOCR_MODEL", "/somewhere", 1), 0);
  EXPECT_EQ(default_model_path(), "/somewhere");
  ::unsetenv("GLMOCR_MODEL");
  try {
    EXPECT_TRUE(std::filesystem::exists(default_model_path() + "/config.json"));
  } catch (const Error& error) {  // a build without the program has no embedded model next to it
    EXPECT_EQ(error.code(), ErrorCode::model);
    EXPECT_THAT(error.what(), testing::HasSubstr("share/glm-ocr/models/mini"));
  }
}

}  // namespace
}  // namespace glmocr
