// SPDX-License-Identifier: Apache-2.0
#include "engine/forward.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "base/error.h"
#include "base/memory.h"
#include "engine/admission.h"
#include "engine/kv_cache.h"
#include "engine/model_state.h"
#include "engine/step_runner.h"

namespace glmocr {
namespace {

constexpr int kPageSize = 32;

// Under a memory limit: reserves the workspace of a pass. Throws Error{memory} naming the smallest limit that would do.
void reserve_memory(const GlmOcr& network, const engine::Request& request, bool observed) {
  Device& device = network.device();
  const MemoryBudget& memory = *device.memory();
  if (memory.limit() == 0) return;
  device.reserve_arena(0);
  const std::int64_t tokens = std::ssize(request.prompt.ids);
  std::int64_t patches = 0;
  for (const PreprocessedImage& image : request.images) patches += image.grid.patches();
  std::int64_t workspace = std::max(network.decoder().workspace_bytes(tokens, 1),
                                    network.vision().workspace_bytes(patches, observed));
  workspace += workspace / engine::kScratchShare;
  const engine::StepLimits limits{.sequences = 1, .prefill_rows = tokens, .context = tokens};
  const std::int64_t needed =
      memory.used() + workspace + engine::picture_bytes(network, request) +
      network.vision().held_bytes(patches) +
      device.kv_page_bytes(network.decoder().kv_spec(1, kPageSize)) * engine::pages_for(tokens, kPageSize) +
      engine::StepRunner::table_bytes(network, limits, kPageSize);
  if (needed > memory.limit()) fail_limit_too_small(memory.limit(), needed, "this forward pass");
  device.reserve_arena(workspace);
}

Observer observer_of(Device& device, const TensorSink& sink) {
  if (!sink) return {};
  return [&device, sink](const std::string& name, const Tensor& tensor) {
    std::vector<std::int64_t> shape;
    for (int i = 0; i < tensor.rank(); ++i) shape.push_back(tensor.size(i));
    sink(name, shape, engine::download_floats(device, tensor));
  };
}

}  // namespace

Logits engine::forward(const GlmOcr& network, Request request, const TensorSink& sink) {
  const std::int64_t tokens = std::ssize(request.prompt.ids), pictures = std::ssize(request.images);
  if (const int context = network.config().text.max_position_embeddings; tokens > context) {
    fail(ErrorCode::input, cat("the prompt has ", tokens, " tokens; the model's context is ", context));
  }
  Logits logits;
  logits.prompt_tokens = tokens;
  for (const PreprocessedImage& image : request.images) {
    logits.image_grid_thw.push_back({image.grid.t, image.grid.h, image.grid.w});
  }
  reserve_memory(network, request, bool{sink});
  const Observer observer = observer_of(network.device(), sink);
  MemoryShare memory(network.device().memory(), picture_bytes(network, request),
                     "pictures and their features");
  const std::int64_t pages = pages_for(tokens, kPageSize);
  KvCache cache(network.device(), network.decoder().kv_spec(pages, kPageSize));
  StepRunner runner(network, cache, {.sequences = 1, .prefill_rows = tokens, .context = tokens});
  std::vector<std::unique_ptr<Sequence>> sequences;
  sequences.push_back(std::make_unique<Sequence>(std::move(request), network.config(), network.tokenizer(),
                                                 tokens, std::move(memory)));
  Sequence& sequence = *sequences[0];
  cache.pool().take(pages, sequence.pages());
  std::vector<PictureJob> jobs;
  for (std::int64_t i = 0; i < pictures; ++i) jobs.push_back({&sequence, i});
  if (!jobs.empty()) {
    PictureBatch batch = runner.begin(std::move(jobs));
    runner.encode(batch, std::numeric_limits<double>::infinity(), observer);
  }
  logits.values = runner.logits({.count = tokens, .logits = 1}, sequences, observer);
  return logits;
}

Logits Model::forward(std::span<const Image> images, const std::string& text, const TensorSink& sink) const {
  const std::lock_guard lock(state_->device_mutex);
  if (state_->has_engine) fail(ErrorCode::usage, "forward: an engine is using this model");
  const ReadOptions options{.prompt = text, .enlarge_small_print = false, .guard = false};
  const GlmOcr& network = state_->network();
  return engine::forward(network, engine::make_request(network, images, options), sink);
}

std::vector<std::pair<TokenId, float>> Logits::top(int k) const {
  std::vector<TokenId> ids(values.size());
  std::iota(ids.begin(), ids.end(), 0);
  const std::int64_t count = std::clamp<std::int64_t>(k, 0, std::ssize(ids));
  std::partial_sort(ids.begin(), ids.begin() + count, ids.end(), [&](TokenId a, TokenId b) {
    return values[a] != values[b] ? values[a] > values[b] : a < b;
  });
  std::vector<std::pair<TokenId, float>> best;
  for (std::int64_t i = 0; i < count; ++i) best.emplace_back(ids[i], values[ids[i]]);
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
