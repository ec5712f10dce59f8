// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <filesystem>
#include <map>
#include <mutex>
#include <utility>

#include "api/default_path.h"
#include "base/check_pixels.h"
#include "base/error.h"
#include "base/memory.h"
#include "base/memory_budget.h"
#include "base/numbers.h"
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
  LoadOptions options;
  std::shared_ptr<MemoryBudget> memory;
  std::unique_ptr<Device> device;
  std::unique_ptr<doclayout::PpDocLayoutV3> network;
  std::int64_t memory_used = 0;
  std::map<int, Error> too_small;  // by pages at once: what fail_with_limit threw
  std::mutex mutex;                // held while a call uses the device

  State(const std::filesystem::path& snapshot, const LoadOptions& load);
  static std::int64_t taken_by(const std::filesystem::path& snapshot, LoadOptions load, int pages,
                               std::int64_t limit);
  [[noreturn]] static void fail_with_limit(const Error& error, const std::filesystem::path& snapshot,
                                           const LoadOptions& load, int pages);
  [[noreturn]] void fail_pass(const Error& error, int pages);
};

LayoutModel::State::State(const std::filesystem::path& snapshot, const LoadOptions& load)
    : path(snapshot.string()), options(load), memory(std::make_shared<MemoryBudget>(load.memory_limit)) {
  device = open_device(options.device, {.threads = options.threads,
                                        .memory = memory,
                                        .short_products = options.dtype == ComputeType::automatic});
  const DType compute = options.dtype == ComputeType::bf16 ? DType::bf16 : DType::f32;
  network = doclayout::PpDocLayoutV3::load(snapshot, *device, compute);
  device_name = device->name();
}

// What the model and a pass over so many pages take under a limit (0: none): tried with a model of its own. Throws Error{memory}.
std::int64_t LayoutModel::State::taken_by(const std::filesystem::path& snapshot, LoadOptions load, int pages,
                                          std::int64_t limit) {
  constexpr int kSide = 8;
  load.memory_limit = limit;
  const State tried(snapshot, load);
  Image blank;
  blank.width = blank.height = kSide;
  blank.rgb.assign(kSide * kSide * 3, 255);
  tried.network->detect(std::vector<Image>(pages, blank), 1);
  tried.device->reserve_arena(0);
  return round_up(tried.memory->used() + tried.device->arena_peak_bytes(), std::int64_t{1} << 20);
}

// Throws the error of a pass that did not fit its memory limit, naming a limit that is enough. That is what the pass takes
// without a limit, or less: under a limit fewer weights are packed, so what a try takes is the limit of the next one, as long
// as it gets less. On a card, where nothing can be tried out, throws the error as it is.
void LayoutModel::State::fail_with_limit(const Error& error, const std::filesystem::path& snapshot,
                                         const LoadOptions& load, int pages) {
  constexpr int kTries = 4;
  if (error.code() != ErrorCode::memory || load.memory_limit == 0 || !load.device.starts_with("cpu"))
    throw error;
  std::int64_t limit = taken_by(snapshot, load, pages, 0), enough = 0;
  for (int i = 0; i < kTries && limit != enough; ++i) {
    try {
      const std::int64_t taken = taken_by(snapshot, load, pages, limit);
      enough = limit;
      limit = std::min(limit, taken);
    } catch (const Error& failed) {
      if (failed.code() != ErrorCode::memory || enough > 0) break;
      limit += limit / 8;
    }
  }
  if (enough == 0) throw error;
  fail(ErrorCode::memory, cat("the memory limit of ", size_text(load.memory_limit),
                              " is too small for a pass of the layout model over ", pages,
                              pages == 1 ? " page" : " pages", "; ", size_text(enough), " is enough"));
}

void LayoutModel::State::fail_pass(const Error& error, int pages) {
  if (error.code() != ErrorCode::memory) throw error;
  if (const auto known = too_small.find(pages); known != too_small.end()) throw Error(known->second);
  try {
    fail_with_limit(error, path, options, pages);
  } catch (const Error& named) {
    too_small.emplace(pages, named);
    throw;
  }
}

LayoutModel LayoutModel::load(const std::string& path, const LoadOptions& options) {
  if (options.threads < 0)
    fail(ErrorCode::usage, cat("threads is ", options.threads, ", expected 0 or more"));
  if (options.memory_limit < 0) {
    fail(ErrorCode::usage, cat("memory_limit is ", options.memory_limit, ", expected 0 or more"));
  }
  const std::filesystem::path snapshot = resolve_snapshot(path);
  std::shared_ptr<State> state;
  try {
    state = std::make_shared<State>(snapshot, options);
  } catch (const Error& error) {
    State::fail_with_limit(error, snapshot, options, 1);
  }
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
    try {
      auto found = state_->network->detect(some, options.threshold, observer_of(*state_->device, sink));
      std::move(found.begin(), found.end(), std::back_inserter(regions));
    } catch (const Error& error) {
      state_->fail_pass(error, static_cast<int>(some.size()));
    }
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
