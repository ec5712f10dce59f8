// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <numeric>

#include "api/model_state.h"
#include "engine/kv_cache.h"

namespace glmocr {
namespace {

// Rows of the cache of a single pass: one page holds the whole prompt.
PagedBatch one_sequence(Device& device, std::int32_t tokens) {
  const std::int32_t starts[] = {0, tokens};
  const std::int32_t page = 0;
  PagedBatch batch;
  batch.row_starts = device.upload_array(starts, {2});
  batch.context_lens = device.upload_array(&tokens, {1});
  batch.page_table = device.upload_array(&page, {1, 1});
  batch.max_rows = tokens;
  batch.max_context = tokens;
  return batch;
}

Tensor upload_positions(Device& device, const MropePositions& positions) {
  std::vector<std::int32_t> all = positions.temporal;
  all.insert(all.end(), positions.height.begin(), positions.height.end());
  all.insert(all.end(), positions.width.begin(), positions.width.end());
  return device.upload_array(all.data(), {3, positions.size()});
}

std::vector<float> download_floats(Device& device, const Tensor& tensor) {
  std::vector<float> values(static_cast<std::size_t>(tensor.numel()));
  if (tensor.dtype == DType::f32) {
    device.download(tensor, values.data());
  } else if (tensor.dtype == DType::bf16) {
    std::vector<bf16> stored(values.size());
    device.download(tensor, stored.data());
    std::transform(stored.begin(), stored.end(), values.begin(), [](bf16 value) { return to_float(value); });
  } else {
    std::vector<std::int32_t> stored(values.size());
    device.download(tensor, stored.data());
    std::transform(stored.begin(), stored.end(), values.begin(), [](auto value) { return float(value); });
  }
  return values;
}

Observer observer_of(Device& device, const TensorSink& sink) {
  if (!sink) return {};
  return [&device, sink](const std::string& name, const Tensor& tensor) {
    std::vector<std::int64_t> shape;
    for (int i = 0; i < tensor.rank(); ++i) shape.push_back(tensor.size(i));
    const std::vector<float> values = download_floats(device, tensor);
    sink(name, shape, values);
  };
}

// Token embeddings with the vision rows in the places of the image tokens.
Tensor embed_prompt(const GlmOcr& network, const Prompt& prompt, std::span<const PreprocessedImage> images,
                    const Observer& observer) {
  Device& device = network.device();
  const auto tokens = std::ssize(prompt.ids);
  const Tensor hidden = network.decoder().embed(device.upload_array(prompt.ids.data(), {tokens}));
  if (images.empty()) return hidden;
  const ArenaScope scope(device);
  const Tensor patches = network.patches(images);
  observe(observer, "pixel_values", patches);
  const Tensor rows = network.vision().encode(patches, grids_of(images), observer);
  std::vector<std::int32_t> places;
  for (std::size_t i = 0; i < prompt.ids.size(); ++i) {
    if (prompt.ids[i] == network.config().image_token_id) places.push_back(static_cast<std::int32_t>(i));
  }
  const auto count = std::ssize(places);
  device.ops().scatter_rows(rows, device.upload_array(places.data(), {count}), hidden);
  return hidden;
}

}  // namespace

std::vector<PreprocessedImage> preprocess_all(std::span<const Image> images, const PreprocessConfig& config,
                                              SmallPrint small_print) {
  std::vector<PreprocessedImage> ready;
  for (std::size_t i = 0; i < images.size(); ++i) {
    const Image& image = images[i];
    const auto bytes = 3 * static_cast<std::size_t>(std::max(image.width, 0)) *
                       static_cast<std::size_t>(std::max(image.height, 0));
    if (bytes == 0 || image.rgb.size() != bytes) {
      fail(ErrorCode::input,
           cat("picture ", i + 1, ": ", image.width, "x", image.height, " with ", image.rgb.size(),
               " bytes of pixels, expected ", bytes, " and at least one pixel"));
    }
    ready.push_back(preprocess(image, config, small_print));
  }
  return ready;
}

std::vector<GridTHW> grids_of(std::span<const PreprocessedImage> images) {
  std::vector<GridTHW> grids;
  for (const PreprocessedImage& image : images) grids.push_back(image.grid);
  return grids;
}

std::vector<std::array<int, 3>> to_public(std::span<const GridTHW> grids) {
  std::vector<std::array<int, 3>> list;
  for (const GridTHW& grid : grids) list.push_back({grid.t, grid.h, grid.w});
  return list;
}

Logits forward(const GlmOcr& network, const Prompt& prompt, std::span<const PreprocessedImage> images,
               const TensorSink& sink) {
  Device& device = network.device();
  const auto tokens = static_cast<std::int32_t>(prompt.ids.size());
  if (tokens > network.config().text.max_position_embeddings) {
    fail(ErrorCode::memory, cat("the prompt has ", tokens, " tokens, the model's context ",
                                network.config().text.max_position_embeddings));
  }
  const engine::KvCache cache(network.config().text, network.compute(), 1, tokens, device);
  const Observer observer = observer_of(device, sink);
  Logits logits;
  logits.prompt_tokens = tokens;
  logits.image_grid_thw = to_public(grids_of(images));
  device.run_step(0, [&] {
    DecoderInput input;
    input.hidden = embed_prompt(network, prompt, images, observer);
    input.positions = upload_positions(device, prompt.positions);
    observe(observer, "position_ids", input.positions);
    std::vector<std::int32_t> slots(prompt.ids.size());
    std::iota(slots.begin(), slots.end(), 0);
    input.slots = device.upload_array(slots.data(), {tokens});
    input.batch = one_sequence(device, tokens);
    input.cache = cache.layers();
    const Tensor hidden = network.decoder().forward(input, observer);
    const Tensor last = network.decoder().logits(hidden.slice(0, tokens - 1, tokens));
    observe(observer, "logits", last);
    logits.values = download_floats(device, last);
  });
  return logits;
}

Logits Model::forward(std::span<const Image> images, const std::string& text, const TensorSink& sink) const {
  const std::lock_guard lock(state_->device_mutex);
  if (state_->has_engine) fail(ErrorCode::usage, "forward: an engine is using this model");
  const GlmOcr& network = *state_->network;
  const std::vector<PreprocessedImage> ready =
      preprocess_all(images, network.config().preprocess, SmallPrint::as_it_is);
  const Prompt prompt = build_prompt(network.config(), network.tokenizer(), grids_of(ready), text);
  return glmocr::forward(network, prompt, ready, sink);
}

std::vector<std::pair<TokenId, float>> Logits::top(int k) const {
  std::vector<TokenId> ids(values.size());
  std::iota(ids.begin(), ids.end(), 0);
  const auto value = [&](TokenId id) { return values[id]; };
  const auto count = std::min<std::size_t>(static_cast<std::size_t>(std::max(k, 0)), ids.size());
  std::partial_sort(ids.begin(), ids.begin() + count, ids.end(),
                    [&](TokenId a, TokenId b) { return value(a) != value(b) ? value(a) > value(b) : a < b; });
  std::vector<std::pair<TokenId, float>> best;
  for (std::size_t i = 0; i < count; ++i) best.emplace_back(ids[i], value(ids[i]));
  return best;
}

double Logits::mean() const {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

double Logits::std() const {
  const double center = mean();
  double squares = 0;
  for (const float value : values) squares += (value - center) * (value - center);
  return std::sqrt(squares / (static_cast<double>(values.size()) - 1));
}

}  // namespace glmocr
