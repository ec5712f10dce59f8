// SPDX-License-Identifier: Apache-2.0
// Defines the functions of test_model.h and tests them.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <random>
#include <set>

#include "support/encode_pictures.h"
#include "support/recording_device.h"
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

// All tokens in one forward pass; the embeddings of image tokens are replaced by picture features.
TokenId plain_next(const GlmOcr& model, const Request& request, const std::vector<TokenId>& ids,
                   PenaltySees sees) {
  Device& device = model.device();
  const ArenaScope scope(device);
  const std::int64_t n = std::ssize(ids);
  DecoderInput input;
  input.hidden = model.decoder().embed(index_tensor(device, ids));
  if (!request.images.empty()) {
    std::vector<const PreprocessedImage*> pictures;
    for (const PreprocessedImage& image : request.images) pictures.push_back(&image);
    std::vector<std::int32_t> rows;
    for (std::size_t i = 0; i < request.prompt.ids.size(); ++i) {
      if (ids[i] == model.config().image_token_id) rows.push_back(static_cast<std::int32_t>(i));
    }
    VisionPass pass;
    const Tensor features = test::encode_pictures(model, pictures, pass);
    device.ops().scatter_rows(features, index_tensor(device, rows), input.hidden);
  }
  const MropePositions& prompt = request.prompt.positions;
  std::vector<std::int32_t> positions;
  for (const auto* axis : {&prompt.temporal, &prompt.height, &prompt.width}) {
    positions.insert(positions.end(), axis->begin(), axis->end());
    for (std::int64_t s = prompt.size(); s < n; ++s)
      positions.push_back(static_cast<std::int32_t>(s) + prompt.delta);
  }
  const auto count = static_cast<std::int32_t>(n);
  input.positions = device.upload_array(positions.data(), {3, n});
  input.slots = index_tensor(device, count_up(n));
  input.batch = {.row_starts = index_tensor(device, {0, count}),
                 .context_lens = index_tensor(device, {count}),
                 .page_table = index_tensor(device, {0}).reshape({1, 1}),
                 .max_rows = count,
                 .max_context = count};
  const auto store = device.make_kv_store(model.decoder().kv_spec(1, count));
  input.cache = store.get();
  const Tensor hidden = model.decoder().forward(input);
  const Tensor logits = model.decoder().logits(hidden.slice(0, n - 1, n));
  std::vector<float> values(logits.numel());
  if (logits.dtype == DType::f32) {
    device.download(logits, values.data());
  } else {
    std::vector<bf16> stored(values.size());
    device.download(logits, stored.data());
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = to_float(stored[i]);
  }
  const auto& counted = sees == PenaltySees::prompt ? request.prompt.ids : ids;
  const float penalty = request.options.sampling.repetition_penalty;
  for (const TokenId id : std::set<TokenId>(counted.begin(), counted.end())) {
    values[id] = values[id] > 0 ? values[id] / penalty : values[id] * penalty;
  }
  const auto end = values.begin() + model.tokenizer().size();
  return static_cast<TokenId>(std::max_element(values.begin(), end) - values.begin());
}

}  // namespace

TestModel load_test_model(const std::string& device, const DeviceOptions& options, DType compute) {
  TestModel loaded;
  loaded.device = open_device(device, options);
  loaded.model = GlmOcr::load(std::filesystem::path(GLMOCR_TEST_DATA) / "awkward", *loaded.device, compute);
  return loaded;
}

TestModel load_recording_model(int depth) {
  TestModel loaded;
  loaded.device = std::make_unique<test::RecordingDevice>(depth);
  loaded.model =
      GlmOcr::load(std::filesystem::path(GLMOCR_TEST_DATA) / "awkward", *loaded.device, DType::f32);
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

Request test_request(const GlmOcr& model, const std::string& text, const std::vector<PictureSize>& pictures,
                     int max_tokens) {
  std::vector<Image> images;
  auto seed = static_cast<unsigned>(text.size());
  for (const PictureSize& size : pictures) images.push_back(test_picture(size.height, size.width, ++seed));
  ReadOptions options;
  options.prompt = text;
  options.max_tokens = max_tokens;
  return make_request(model, images, options);
}

std::vector<Request> mixed_requests(const GlmOcr& model) {
  std::vector<Request> requests;
  requests.push_back(test_request(model, "Text Recognition:", {{84, 112}}, 14));
  requests.push_back(test_request(model, "no picture at all", {}, 20));
  requests.push_back(test_request(model, "two of them", {{84, 84}, {56, 168}}, 9));
  requests.push_back(test_request(model, "a", {}, 3));
  requests.push_back(test_request(model, "sampled", {{112, 84}}, 16));
  requests.back().options.sampling = {
      .temperature = 1.5f, .top_p = 0.95f, .top_k = 200, .seed = 11, .logprobs = 3};
  requests.push_back(test_request(model, "with a penalty, greedy, and a longer text in the prompt", {}, 16));
  requests.back().options.sampling.repetition_penalty = 1.3f;
  requests.push_back(test_request(model, "Table Recognition:", {{84, 112}}, 18));
  requests.back().stop_ids.clear();
  return requests;
}

std::int64_t kv_bytes_per_token(const GlmOcr& model) {
  return model.device().kv_page_bytes(model.decoder().kv_spec(1, 1));
}

Job submit(Core& core, Request request) { return JobAccess::make(core.submit(std::move(request))); }

std::vector<Result> run_together(const GlmOcr& model, std::vector<Request> requests,
                                 const EngineOptions& options, EngineStats* stats) {
  Core core(model, options);
  std::vector<Job> jobs;
  for (Request& request : requests) jobs.push_back(submit(core, std::move(request)));
  while (core.step()) {
  }
  std::vector<Result> results;
  for (const Job& job : jobs) results.push_back(job.wait());
  if (stats) *stats = core.stats();
  return results;
}

Result run_alone(const GlmOcr& model, Request request, const EngineOptions& options) {
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
