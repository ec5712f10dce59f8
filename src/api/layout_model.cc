// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <mutex>
#include <utility>

#include "api/default_path.h"
#include "api/load_limits.h"
#include "base/check_pixels.h"
#include "base/error.h"
#include "base/memory_budget.h"
#include "engine/step_runner.h"
#include "glmocr/layout.h"
#include "kernels/kernels.h"
#include "models/pp_doclayout_v3/pp_doclayout_v3.h"
#include "store/hub_cache.h"

namespace glmocr {
namespace {

Observer observer_of(Device& device, const TensorSink& sink) {
  if (!sink) return {};
  return [&device, &sink](const std::string& name, const Tensor& tensor) {
    std::vector<std::int64_t> shape;
    for (int i = 0; i < tensor.rank(); ++i) shape.push_back(tensor.size(i));
    sink(name, shape, engine::download_floats(device, tensor));
  };
}

}  // namespace

struct LayoutModel::State {
  std::string path, device_name;
  std::shared_ptr<MemoryBudget> memory;
  std::unique_ptr<Device> device;
  std::unique_ptr<doclayout::PpDocLayoutV3> network;
  std::int64_t memory_used = 0;
  std::mutex mutex;  // held while a call uses the device
};

LayoutModel LayoutModel::load(const std::string& path, const LoadOptions& options) {
  check_limits(options);
  const auto state = std::make_shared<State>();
  const auto snapshot = resolve_snapshot(path);
  state->path = snapshot.string();
  state->memory = std::make_shared<MemoryBudget>(options.memory_limit);
  state->device = open_device(options.device, {.threads = options.threads,
                                               .memory = state->memory,
                                               .short_products = options.dtype == ComputeType::automatic});
  const DType compute = options.dtype == ComputeType::bf16 ? DType::bf16 : DType::f32;
  state->network = doclayout::PpDocLayoutV3::load(snapshot, *state->device, compute);
  state->device_name = state->device->name();
  // The memory of a card is shared, and there is no more of it later: that of a pass is taken now.
  if (state->device_name.starts_with("cuda")) {
    state->network->run_network(1);
    state->device->wait();
  }
  state->memory_used = state->memory->used();
  return LayoutModel(state);
}

std::vector<std::vector<Region>> LayoutModel::detect(std::span<const Image> pages,
                                                     const LayoutOptions& options,
                                                     const TensorSink& sink) const {
  if (options.pages_at_once < 1) {
    fail(ErrorCode::usage, cat("pages_at_once is ", options.pages_at_once, ", expected 1 or more"));
  }
  if (!(options.threshold >= 0 && options.threshold <= 1)) {
    fail(ErrorCode::usage, cat("threshold is ", options.threshold, ", expected 0 to 1"));
  }
  for (std::size_t i = 0; i < pages.size(); ++i) check_pixels(pages[i], cat("page ", i + 1));
  const std::lock_guard lock(state_->mutex);
  std::vector<std::vector<Region>> regions;
  const std::size_t at_once = options.pages_at_once;
  for (std::size_t first = 0; first < pages.size(); first += at_once) {
    const auto some = pages.subspan(first, std::min(at_once, pages.size() - first));
    auto found = state_->network->detect(some, options.threshold, observer_of(*state_->device, sink));
    std::move(found.begin(), found.end(), std::back_inserter(regions));
  }
  return regions;
}

const std::string& LayoutModel::path() const { return state_->path; }
const std::string& LayoutModel::device() const { return state_->device_name; }
std::int64_t LayoutModel::memory_bytes() const { return state_->memory_used; }

std::string default_layout_model_path() {
  return default_path("layout model", "GLMOCR_LAYOUT_MODEL", "mini-layout");
}

}  // namespace glmocr
