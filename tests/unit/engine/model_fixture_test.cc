// SPDX-License-Identifier: Apache-2.0
// What test_model.h promises; named so that it is built with the tests of this folder.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <random>
#include <set>

#include "unit/engine/test_model.h"

namespace glmocr::engine {
namespace {

Tensor index_tensor(Device& device, const std::vector<std::int32_t>& values) {
  return device.upload_array(values.data(), {std::ssize(values)});
}

std::vector<std::int32_t> count_up(std::int64_t n) {
  std::vector<std::int32_t> values;
  for (std::int64_t i = 0; i < n; ++i) values.push_back(static_cast<std::int32_t>(i));
  return values;
}

// All tokens in one forward pass; the embeddings of image tokens are replaced by the tower's rows.
TokenId plain_next(const GlmOcr& model, const Request& request, const std::vector<TokenId>& ids,
                   PenaltySees sees) {
  Device& device = model.device();
  const ArenaScope scope(device);
  const auto n = std::ssize(ids);
  DecoderInput input;
  input.hidden = model.decoder().embed(index_tensor(device, ids));
  if (!request.images.empty()) {
    std::vector<GridTHW> grids;
    for (const PreprocessedImage& image : request.images) grids.push_back(image.grid);
    std::vector<std::int32_t> rows;
    for (std::size_t i = 0; i < request.prompt.ids.size(); ++i) {
      if (ids[i] == model.config().image_token_id) rows.push_back(static_cast<std::int32_t>(i));
    }
    const Tensor features = model.vision().encode(model.patches(request.images), grids);
    device.ops().scatter_rows(features, index_tensor(device, rows), input.hidden);
  }
  const MropePositions& prompt = request.prompt.positions;
  std::vector<std::int32_t> positions;
  for (const auto* axis : {&prompt.temporal, &prompt.height, &prompt.width}) {
    positions.insert(positions.end(), axis->begin(), axis->end());
    for (std::int64_t s = prompt.size(); s < n; ++s)
      positions.push_back(static_cast<std::int32_t>(s) + prompt.delta);
  }
  input.positions = device.upload_array(positions.data(), {3, n});
  input.slots = index_tensor(device, count_up(n));
  input.batch = {.row_starts = index_tensor(device, {0, static_cast<std::int32_t>(n)}),
                 .context_lens = index_tensor(device, {static_cast<std::int32_t>(n)}),
                 .page_table = index_tensor(device, {0}).reshape({1, 1}),
                 .max_rows = static_cast<int>(n),
                 .max_context = static_cast<int>(n)};
  const TextConfig& text = model.config().text;
  std::vector<PagedKv> cache;
  for (int layer = 0; layer < text.num_hidden_layers; ++layer) {
    const Shape shape{1, text.num_key_value_heads, n, text.head_dim};
    cache.push_back({device.scratch(shape, model.compute()), device.scratch(shape, model.compute())});
  }
  input.cache = cache;
  const Tensor hidden = model.decoder().forward(input);
  const auto& counted = sees == PenaltySees::prompt ? request.prompt.ids : ids;
  const std::set<TokenId> unique(counted.begin(), counted.end());
  const std::vector<TokenId> seen(unique.begin(), unique.end());
  const SampleRow greedy{.repetition_penalty = request.sampling.repetition_penalty,
                         .seen = seen,
                         .vocab_limit = model.tokenizer().size()};
  return device.ops().sample(model.decoder().logits(hidden.slice(0, n - 1, n)), {&greedy, 1})[0].token;
}

}  // namespace

TestModel load_test_model(const std::string& device, const DeviceOptions& options, DType compute) {
  TestModel loaded;
  loaded.device = open_device(device, options);
  loaded.model = GlmOcr::load(std::filesystem::path(GLMOCR_TEST_DATA) / "awkward", *loaded.device, compute);
  return loaded;
}

const GlmOcr& test_model() {
  static const TestModel loaded = load_test_model("ref");
  return *loaded.model;
}

Image test_picture(int height, int width, unsigned seed) {
  std::mt19937 random(seed);
  Image image{.width = width, .height = height};
  for (int i = 0; i < height * width * 3; ++i) image.rgb.push_back(static_cast<std::uint8_t>(random() >> 24));
  return image;
}

Request make_request(const GlmOcr& model, const std::string& text, const std::vector<PictureSize>& pictures,
                     int max_tokens) {
  Request request;
  request.max_tokens = max_tokens;
  std::vector<GridTHW> grids;
  unsigned seed = static_cast<unsigned>(text.size());
  for (const PictureSize& size : pictures) {
    request.images.push_back(
        preprocess(test_picture(size.height, size.width, ++seed), model.config().preprocess));
    grids.push_back(request.images.back().grid);
  }
  request.prompt = build_prompt(model.config(), model.tokenizer(), grids, text);
  return request;
}

std::vector<Request> mixed_requests(const GlmOcr& model) {
  std::vector<Request> requests;
  requests.push_back(make_request(model, "Text Recognition:", {{84, 112}}, 14));
  requests.push_back(make_request(model, "no picture at all", {}, 20));
  requests.push_back(make_request(model, "two of them", {{84, 84}, {56, 168}}, 9));
  requests.push_back(make_request(model, "a", {}, 3));
  requests.push_back(make_request(model, "sampled", {{112, 84}}, 16));
  requests.back().sampling = {.temperature = 1.5f, .top_p = 0.95f, .top_k = 200, .seed = 11, .logprobs = 3};
  requests.push_back(make_request(model, "with a penalty, greedy, and a longer text in the prompt", {}, 16));
  requests.back().sampling.repetition_penalty = 1.3f;
  requests.push_back(make_request(model, "Table Recognition:", {{84, 112}}, 18));
  requests.back().ignore_eos = true;
  return requests;
}

std::vector<Completion> run_together(const GlmOcr& model, std::vector<Request> requests,
                                     EngineOptions options, EngineStats* stats) {
  options.own_thread = false;
  Engine engine(model, options);
  std::vector<std::shared_ptr<RequestHandle>> handles;
  for (Request& request : requests) handles.push_back(engine.submit(std::move(request)));
  while (engine.step()) {
  }
  std::vector<Completion> completions;
  for (const auto& handle : handles) completions.push_back(handle->wait());
  if (stats) *stats = engine.stats();
  return completions;
}

Completion run_alone(const GlmOcr& model, Request request, const EngineOptions& options) {
  std::vector<Request> requests;
  requests.push_back(std::move(request));
  return run_together(model, std::move(requests), options)[0];
}

std::vector<TokenId> plain_greedy(const GlmOcr& model, const Request& request, int tokens, PenaltySees sees) {
  std::vector<TokenId> ids = request.prompt.ids;
  for (int i = 0; i < tokens; ++i) ids.push_back(plain_next(model, request, ids, sees));
  return {ids.begin() + request.prompt.ids.size(), ids.end()};
}

namespace {

TEST(TestModelPictures, TheMixHoldsEveryKind) {
  const std::vector<Request> requests = mixed_requests(test_model());
  const auto with = [&](std::size_t pictures) {
    return std::count_if(requests.begin(), requests.end(),
                         [=](const Request& request) { return request.images.size() == pictures; });
  };
  EXPECT_GE(with(0), 2);
  EXPECT_GE(with(1), 2);
  EXPECT_GE(with(2), 1);
  EXPECT_GT(requests[0].prompt.image_tokens, 0);
}

}  // namespace
}  // namespace glmocr::engine
