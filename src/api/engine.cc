// SPDX-License-Identifier: Apache-2.0
#include "engine/engine.h"

#include <utility>

#include "api/model_state.h"
#include "glmocr/engine.h"

namespace glmocr {

struct Job::State {
  std::shared_ptr<engine::RequestHandle> handle;
  std::vector<std::array<int, 3>> grids;
};

struct Engine::State {
  // Marks the model as taken for as long as the engine lives.
  struct Claim {
    explicit Claim(const Model& m) : model(m) {
      const std::lock_guard lock(model.state()->device_mutex);
      if (model.state()->has_engine.exchange(true))
        fail(ErrorCode::usage, "this model has an engine already");
    }
    ~Claim() { model.state()->has_engine = false; }
    Claim(const Claim&) = delete;
    Claim& operator=(const Claim&) = delete;
    Model model;
  };
  State(const Model& model, const engine::EngineOptions& options)
      : claim(model), core(*model.state()->network, options) {}
  Claim claim;
  engine::Engine core;
};

Engine::Engine(const Model& model, const EngineOptions& options) {
  engine::EngineOptions core;
  core.max_sequences = options.max_sequences;
  core.prefill_chunk = options.prefill_chunk;
  core.kv_memory = options.kv_memory;
  state_ = std::make_unique<State>(model, core);
}

Engine::~Engine() = default;
Engine::Engine(Engine&&) noexcept = default;
Engine& Engine::operator=(Engine&&) noexcept = default;

Job Engine::submit(std::vector<Image> images, const ReadOptions& options) {
  const GlmOcr& network = *state_->claim.model.state()->network;
  engine::Request request;
  request.images = preprocess_all(images, network.config().preprocess,
                                  options.enlarge_small_print ? SmallPrint::enlarged : SmallPrint::as_it_is);
  const std::vector<GridTHW> grids = grids_of(request.images);
  const std::string text = options.prompt ? *options.prompt : task_prompt(options.task, options.schema);
  request.prompt = build_prompt(network.config(), network.tokenizer(), grids, text,
                                options.allow_control_tokens ? AddedTokens::match : AddedTokens::ignore);
  request.sampling = options.sampling;
  request.max_tokens = options.max_tokens;
  request.stop = options.stop;
  if (options.time_limit) request.deadline = std::chrono::steady_clock::now() + *options.time_limit;
  request.on_token = options.on_token;

  Job job;
  job.state_ = std::make_shared<Job::State>();
  job.state_->grids = to_public(grids);
  job.state_->handle = state_->core.submit(std::move(request));
  return job;
}

EngineStats Engine::stats() const {
  const engine::EngineStats s = state_->core.stats();
  const std::int64_t page_bytes = s.total_pages > 0 ? s.kv_bytes / s.total_pages : 0;
  EngineStats stats;
  stats.waiting = s.waiting;
  stats.running = s.running;
  stats.finished = s.finished_requests;
  stats.failed = s.failed_requests;
  stats.preemptions = s.preemptions;
  stats.kv_bytes = s.kv_bytes;
  stats.peak_kv_bytes = s.peak_pages * page_bytes;
  stats.peak_workspace_bytes = s.peak_arena_bytes;
  stats.patches = s.vision_patches;
  stats.prompt_tokens = s.prompt_tokens;
  stats.completion_tokens = s.completion_tokens;
  stats.vision_seconds = s.vision_seconds;
  stats.prefill_seconds = s.prefill_seconds;
  stats.decode_seconds = s.decode_seconds;
  stats.decode_tokens_per_second = s.decode_tokens_per_second();
  stats.decode_steps = s.decode_steps;
  return stats;
}

Result Job::wait() const {
  engine::Completion completion = state_->handle->wait();
  if (completion.error) std::rethrow_exception(completion.error);
  Result result;
  result.mean_logprob = completion.mean_logprob();
  result.text = std::move(completion.text);
  result.finish_reason = completion.finish_reason;
  result.tokens = std::move(completion.tokens);
  result.logprobs = std::move(completion.logprobs);

  result.prompt_tokens = completion.prompt_tokens;
  result.image_tokens = completion.image_tokens;
  result.completion_tokens = completion.completion_tokens;
  result.image_grid_thw = state_->grids;
  result.timings = completion.timings;
  return result;
}

bool Job::done() const { return state_->handle->done(); }
void Job::cancel() const { state_->handle->cancel(); }
std::optional<TokenEvent> Job::next() const { return state_->handle->next(); }

}  // namespace glmocr
