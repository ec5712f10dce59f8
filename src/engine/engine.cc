// SPDX-License-Identifier: Apache-2.0
#include "glmocr/engine.h"

#include <thread>

#include "base/error.h"
#include "base/memory.h"
#include "engine/core.h"
#include "engine/engine_access.h"
#include "engine/model_state.h"

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

  const GlmOcr& network() const { return *ModelAccess::state(model_).network; }

 private:
  Model model_;
};

}  // namespace

// Destroyed in this order: the thread, the core, the claim.
struct Engine::State {
  State(const Model& model, const EngineOptions& options) : claim(model), core(claim.network(), options) {
    thread = std::thread([this] { core.run(); });
  }
  ~State() {
    core.close();
    thread.join();
  }
  Claim claim;
  engine::Core core;
  std::thread thread;
};

Engine::Engine(const Model& model, const EngineOptions& options)
    : state_(std::make_unique<State>(model, options)) {}
Engine::~Engine() = default;
Engine::Engine(Engine&&) noexcept = default;
Engine& Engine::operator=(Engine&&) noexcept = default;

Job Engine::submit(const std::vector<Image>& images, const ReadOptions& options) {
  return JobAccess::make(state_->core.submit(EngineAccess::prepare(*this, images, options)));
}

engine::Request EngineAccess::prepare(const Engine& engine, std::span<const Image> images,
                                      const ReadOptions& options) {
  engine.state_->core.check_waiting();
  return engine::make_request(engine.state_->claim.network(), images, options);
}

// What the core would refuse for the moment is refused before the request is copied.
Job EngineAccess::submit(Engine& engine, const engine::Request& request) {
  Engine::State& state = *engine.state_;
  state.core.check_waiting();
  const MemoryBudget& budget = *state.claim.network().device().memory();
  const std::int64_t bytes = engine::picture_bytes(state.claim.network(), request);
  engine::check_request(request, state.claim.network(), state.core.limits());
  if (budget.limit() > 0 && bytes > budget.limit() - budget.used()) {
    fail(ErrorCode::busy,
         cat("other pictures fill the memory: ", size_text(bytes), " are needed; try again later"));
  }
  return JobAccess::make(state.core.submit(engine::Request(request)));
}

EngineStats Engine::stats() const { return state_->core.stats(); }

}  // namespace glmocr
