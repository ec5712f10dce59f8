// SPDX-License-Identifier: Apache-2.0
// Opt-in tests on a snapshot of the user's, such as zai-org/GLM-OCR, with the variables of the MLX port:
//   GLMOCR_SNAPSHOT_PATH            folder; the tests that need only files
//   GLMOCR_TEST_RUN_FORWARD_PASS=1  one forward pass
//   GLMOCR_TEST_RUN_GENERATE=1      a short greedy text
//   GLMOCR_RUN_GOLDEN=1             against <snapshot>/glmocr_golden.json (tools/make_golden.py) and, for the
//                                   published weights, against the public numbers below
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <fstream>

#include "engine/core.h"
#include "golden/fixture.h"
#include "store/hub_cache.h"

namespace glmocr::golden {
namespace {

bool is_set(const char* name) {
  const char* value = std::getenv(name);
  return value && std::string(value) == "1";
}

class Snapshot : public testing::Test {
 protected:
  void SetUp() override {
    const char* path = std::getenv("GLMOCR_SNAPSHOT_PATH");
    if (!path || !*path) GTEST_SKIP() << "GLMOCR_SNAPSHOT_PATH is not set";
    path_ = resolve_snapshot(path);
  }
  void require(const char* variable) {
    if (!is_set(variable)) GTEST_SKIP() << variable << "=1 is not set";
  }
  GlmOcr& network() { return *loaded(path_, tested_device(), DType::f32).network; }
  bool is_published() { return network().config().text.vocab_size == 59392; }
  std::filesystem::path path_;
};

TEST_F(Snapshot, TokenizerAndSpecialIds) {
  const GlmOcrConfig config = load_config(path_);
  const Tokenizer tokenizer = Tokenizer::load(path_ / "tokenizer.json");
  EXPECT_NO_THROW(check_special_tokens(config, tokenizer));
  const std::string text = "Text Recognition:\n naïve 12,345.67 € 漢字 🙂";
  EXPECT_EQ(tokenizer.decode(tokenizer.encode(text)), text);
  if (config.text.vocab_size != 59392) return;
  const std::array<std::pair<const char*, TokenId>, 9> published{{{"<|endoftext|>", 59246},
                                                                  {"[gMASK]", 59248},
                                                                  {"<sop>", 59250},
                                                                  {"<|system|>", 59252},
                                                                  {"<|user|>", 59253},
                                                                  {"<|assistant|>", 59254},
                                                                  {"<|begin_of_image|>", 59256},
                                                                  {"<|end_of_image|>", 59257},
                                                                  {"<|image|>", 59280}}};
  for (const auto& [token, id] : published) EXPECT_EQ(tokenizer.token_to_id(token), id) << token;
}

TEST_F(Snapshot, LoadsWithEveryTensorAccountedFor) {
  std::int64_t parameters = 0, tensors = 0;
  for (const TensorGroup& group : network().weights().groups) {
    parameters += group.parameters;
    tensors += group.tensors;
    EXPECT_GT(group.tensors, 0) << group.name;
  }
  EXPECT_EQ(tensors, std::ssize(network().weights().files.tensors()));
  if (is_published() && network().weights().has_mtp) {
    EXPECT_EQ(parameters, 1'325'258'240);
  }
}

// The picture of the public numbers: 336×336, red along x, green along y, blue along both.
Image ramp_picture() {
  Image image{336, 336, {}};
  for (int y = 0; y < 336; ++y) {
    for (int x = 0; x < 336; ++x) {
      for (const int value : {x * 255 / 335, y * 255 / 335, (x + y) * 255 / 670}) {
        image.rgb.push_back(static_cast<std::uint8_t>(value));
      }
    }
  }
  return image;
}

TEST_F(Snapshot, ForwardPassIsFiniteAndRepeatable) {
  require("GLMOCR_TEST_RUN_FORWARD_PASS");
  if (IsSkipped()) return;
  const std::vector<Image> images{ramp_picture()};
  const engine::Request request = engine::make_request(network(), images, {});
  const Logits first = engine::forward(network(), request);
  ASSERT_EQ(first.values.size(), static_cast<std::size_t>(network().config().text.vocab_size));
  EXPECT_TRUE(
      std::all_of(first.values.begin(), first.values.end(), [](float v) { return std::isfinite(v); }));
  EXPECT_GT(first.std(), 0);
  EXPECT_EQ(engine::forward(network(), request).values, first.values);
}

TEST_F(Snapshot, GeneratesGreedyText) {
  require("GLMOCR_TEST_RUN_GENERATE");
  if (IsSkipped()) return;
  engine::Core core(network(), {});
  const std::vector<Image> images{ramp_picture()};
  const auto job = core.submit(engine::make_request(network(), images, {.max_tokens = 16}));
  while (core.step()) {
  }
  const Result result = job->wait();
  EXPECT_GT(result.completion_tokens, 0);
  EXPECT_LE(result.completion_tokens, 16);
}

TEST_F(Snapshot, GoldenBesideTheSnapshot) {
  require("GLMOCR_RUN_GOLDEN");
  if (IsSkipped()) return;
  const std::filesystem::path file = path_ / "glmocr_golden.json";
  if (!std::filesystem::exists(file))
    GTEST_SKIP() << file << " does not exist: tools/make_golden.py writes it";
  const Fixture fixture = load_fixture("snapshot", file, path_);
  for (const Json& test_case : fixture.cases()) {
    const Logits logits = engine::forward(network(), make_request(network(), fixture.json, test_case));
    for (const Json& top : test_case.at("logits").at("top")) {
      EXPECT_NEAR(logits.values[top[0].get<std::size_t>()], top[1].get<double>(), 2e-3)
          << test_case.at("name");
    }
  }
}

// The only public numbers of the published weights: zhutao100/GLM-OCR-Swift,
// Tests/GLMOCRAdapterTests/Fixtures/glmocr_forward_golden_v1.json (MIT), transformers 5.1 on MPS in fp16,
// revision 677c6baa60442a451f8a8c7eabdfab32d9801a0b. Its fp16 moves single logits by up to 0.1.
TEST_F(Snapshot, PublicAnswerOfThePublishedWeights) {
  require("GLMOCR_RUN_GOLDEN");
  if (IsSkipped()) return;
  if (!is_published()) GTEST_SKIP() << "not the published model";
  engine::Request request;
  request.images = {preprocess(ramp_picture(), network().config().preprocess)};
  ASSERT_EQ(request.images[0].grid, (GridTHW{1, 24, 24}));
  Prompt& prompt = request.prompt;  // not the chat template: no newline after <|user|>, no assistant turn
  prompt.ids = {59248, 59250, 59253, 59256};
  prompt.ids.insert(prompt.ids.end(), 144, 59280);
  prompt.ids.push_back(59257);
  for (const TokenId id : network().tokenizer().encode(" OCR:")) prompt.ids.push_back(id);
  ASSERT_EQ(prompt.ids.size(), 152u);
  prompt.image_tokens = 144;
  prompt.positions = mrope_positions(prompt.ids, 59280, engine::grids_of(request.images), 2);
  const Logits logits = engine::forward(network(), request);
  const std::array<TokenId, 5> best{59253, 2721, 32, 1026, 678};
  const auto top = logits.top(5);
  for (std::size_t i = 0; i < best.size(); ++i) EXPECT_EQ(top[i].first, best[i]) << "rank " << i;
  const std::array<std::pair<std::size_t, float>, 12> last{{{0, -3.318359375f},
                                                            {9, 4.4609375f},
                                                            {10, -0.2491455078125f},
                                                            {15, -5.58203125f},
                                                            {3864, -5.26171875f},
                                                            {13026, -3.4140625f},
                                                            {30550, 1.0556640625f},
                                                            {54910, -1.6953125f},
                                                            {59246, -5.046875f},
                                                            {59253, 13.5078125f},
                                                            {59254, 2.6328125f},
                                                            {59280, -6.125f}}};
  for (const auto& [id, expected] : last) EXPECT_NEAR(logits.values[id], expected, 0.15) << "id " << id;
}

}  // namespace
}  // namespace glmocr::golden
