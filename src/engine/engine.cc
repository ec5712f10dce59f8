// SPDX-License-Identifier: Apache-2.0
#include "glmocr/engine.h"

#include <algorithm>
#include <thread>

#include "base/error.h"
#include "engine/core.h"
#include "engine/engine_access.h"
#include "engine/model_state.h"
#include "engine/request_queue.h"

namespace glmocr {
namespace {

// Marks the model as used by an engine, for as long as the engine lives.
class Claim {
 public:
  explicit Claim(const Model& model) : model_(model) {
    ModelAccess::State& state = ModelAccess::state(model);
    const std::lock_guard lock(state.device_mutex);
    if (state.has_engine.exchange(true)) fail(ErrorCode::usage, "this model has an engine already");
  }
  ~Claim() { ModelAccess::state(model_).has_engine = false; }
  Claim(const Claim&) = delete;
  Claim& operator=(const Claim&) = delete;

  const ModelAccess::State& state() const { return ModelAccess::state(model_); }

 private:
  Model model_;
};

// The same for every device, so that a request does not depend on the one that takes it: what the fullest leaves room for.
engine::EngineLimits common_limits(const ModelAccess::State& model, const EngineOptions& options) {
  std::int64_t used = 0;
  for (const Replica& replica : model.replicas) used = std::max(used, engine::memory_used(*replica.device));
  return engine::engine_limits(model.network(), options, used);
}

void add(EngineStats& sum, const EngineStats& of_device) {
  for (const auto counter :
       {&EngineStats::waiting, &EngineStats::running, &EngineStats::finished, &EngineStats::failed,
        &EngineStats::preemptions, &EngineStats::total_pages, &EngineStats::free_pages, &EngineStats::steps,
        &EngineStats::patches, &EngineStats::prompt_tokens, &EngineStats::completion_tokens,
        &EngineStats::decode_tokens, &EngineStats::decode_steps}) {
    sum.*counter += of_device.*counter;
  }
  for (const auto seconds :
       {&EngineStats::vision_seconds, &EngineStats::prefill_seconds, &EngineStats::decode_seconds}) {
    sum.*seconds += of_device.*seconds;
  }
  for (const auto peak : {&EngineStats::peak_pages, &EngineStats::peak_workspace_bytes,
                          &EngineStats::peak_memory_bytes, &EngineStats::page_bytes}) {
    sum.*peak = std::max(sum.*peak, of_device.*peak);
  }
}

DeviceStats device_stats(const engine::Core& core, const EngineStats& stats) {
  return {.device = core.device(),
          .lost = core.lost(),
          .running = stats.running,
          .finished = stats.finished,
          .failed = stats.failed,
          .patches = stats.patches,
          .completion_tokens = stats.completion_tokens,
          .peak_memory_bytes = stats.peak_memory_bytes};
}

}  // namespace

// Destroyed in this order: the threads, the cores, the queue, the claim.
struct Engine::State {
  State(const Model& model, const EngineOptions& options)
      : claim(model),
        queue(std::make_shared<engine::RequestQueue>(network(), common_limits(claim.state(), options))) {
    for (const Replica& replica : claim.state().replicas) {
      cores.push_back(std::make_unique<engine::Core>(queue, *replica.network));
    }
    try {
      for (const auto& core : cores) threads.emplace_back([&core = *core] { core.run(); });
    } catch (...) {
      stop();
      throw;
    }
  }
  ~State() { stop(); }
  void stop() {
    queue->close();
    for (std::thread& thread : threads) thread.join();
  }
  const GlmOcr& network() const { return claim.state().network(); }

  Claim claim;
  std::shared_ptr<engine::RequestQueue> queue;
  std::vector<std::unique_ptr<engine::Core>> cores;  // one for each device
  std::vector<std::thread> threads;
};

Engine::Engine(const Model& model, const EngineOptions& options)
    : state_(std::make_unique<State>(model, options)) {}
Engine::~Engine() = default;
Engine::Engine(Engine&&) noexcept = default;
Engine& Engine::operator=(Engine&&) noexcept = default;

Job Engine::submit(const std::vector<Image>& images, const ReadOptions& options) {
  return JobAccess::make(state_->queue->submit(EngineAccess::prepare(*this, images, options)));
}

engine::Request EngineAccess::prepare(const Engine& engine, std::span<const Image> images,
                                      const ReadOptions& options) {
  engine.state_->queue->check_open();
  return engine::make_request(engine.state_->network(), images, options);
}

// What the queue would refuse for the moment is refused before the request is copied.
Job EngineAccess::submit(Engine& engine, const engine::Request& request) {
  engine.state_->queue->check(request);
  return JobAccess::make(engine.state_->queue->submit(engine::Request(request)));
}

EngineStats Engine::stats() const {
  EngineStats sum;
  for (const auto& core : state_->cores) {
    const EngineStats stats = core->stats();
    add(sum, stats);
    sum.devices.push_back(device_stats(*core, stats));
  }
  sum.waiting += state_->queue->waiting();
  return sum;
}

}  // namespace glmocr
