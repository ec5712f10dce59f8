// SPDX-License-Identifier: Apache-2.0
#include "engine/engine.h"

#include <condition_variable>
#include <mutex>
#include <thread>

#include "engine/admission.h"
#include "engine/kv_cache.h"
#include "engine/scheduler.h"
#include "engine/sequence.h"
#include "engine/step_runner.h"

namespace glmocr::engine {

using Clock = Sequence::Clock;

// One thread calls step() and owns everything but what stands below mutex_.
class Engine::Impl {
 public:
  Impl(const GlmOcr& model, const EngineOptions& options);
  ~Impl();

  std::shared_ptr<RequestHandle> submit(Request request);
  bool step();
  EngineStats stats() const;
  const EngineLimits& limits() const { return limits_; }
  bool has_thread() const { return thread_.joinable(); }

 private:
  void run_thread();
  bool take_inbox();

  // The parts of a step, in their order.
  void end_interrupted();
  Plan make_plan() const;
  void make_room(const Plan& plan);
  void encode(const Plan& plan);
  void run_rows(const Plan& plan);
  void remove_finished();
  void publish_stats();

  void encode(std::span<const PictureJob> jobs);
  void run_rows(std::span<const RowJob> jobs);
  void accept(Sequence& sequence, SampledToken token);
  void finish(Sequence& sequence, FinishReason reason, std::exception_ptr error = nullptr);
  void fail_step(const std::exception_ptr& error);

  const GlmOcr& model_;
  const EngineLimits limits_;
  KvCache cache_;
  StepRunner runner_;
  std::vector<std::unique_ptr<Sequence>> sequences_;  // in order of arrival; those that run come first
  EngineStats counters_;

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<std::unique_ptr<Sequence>> inbox_;
  EngineStats stats_;
  bool closing_ = false;

  std::thread thread_;
};

Engine::Impl::Impl(const GlmOcr& model, const EngineOptions& options)
    : model_(model),
      limits_(engine_limits(model, options)),
      cache_(model.config().text, model.compute(), limits_.pages, options.page_size, model.device()),
      runner_(model, cache_) {
  counters_.total_pages = limits_.pages;
  counters_.page_size = options.page_size;
  counters_.kv_bytes = cache_.bytes();
  publish_stats();
  if (options.own_thread) thread_ = std::thread([this] { run_thread(); });
}

Engine::Impl::~Impl() {
  {
    const std::lock_guard lock(mutex_);
    closing_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
  take_inbox();
  for (const auto& sequence : sequences_) finish(*sequence, FinishReason::cancelled);
  remove_finished();
}

std::shared_ptr<RequestHandle> Engine::Impl::submit(Request request) {
  check_request(request, model_, limits_);
  auto sequence =
      std::make_unique<Sequence>(std::move(request), model_.config(), model_.tokenizer(), limits_.context);
  std::shared_ptr<RequestHandle> handle = sequence->handle();
  {
    const std::lock_guard lock(mutex_);
    inbox_.push_back(std::move(sequence));
  }
  wake_.notify_all();
  return handle;
}

void Engine::Impl::run_thread() {
  for (;;) {
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [&] { return closing_ || !inbox_.empty() || !sequences_.empty(); });
      if (closing_) return;
    }
    step();
  }
}

bool Engine::Impl::take_inbox() {
  const std::lock_guard lock(mutex_);
  for (auto& sequence : inbox_) sequences_.push_back(std::move(sequence));
  inbox_.clear();
  return !sequences_.empty();
}

bool Engine::Impl::step() {
  if (!take_inbox()) return false;
  try {
    end_interrupted();
    const Plan plan = make_plan();
    make_room(plan);
    encode(plan);
    run_rows(plan);
  } catch (...) {
    fail_step(std::current_exception());  // our own bug: nobody waits for ever because of it
  }
  ++counters_.steps;
  remove_finished();
  return true;
}

void Engine::Impl::end_interrupted() {
  const Clock::time_point now = Clock::now();
  for (const auto& sequence : sequences_) {
    if (const auto reason = sequence->interrupted(now)) finish(*sequence, *reason);
  }
  remove_finished();
}

Plan Engine::Impl::make_plan() const {
  std::vector<SequenceState> states;
  std::int64_t waiting = 0;
  for (const auto& sequence : sequences_) {
    states.push_back(sequence->state());
    if (!states.back().running && ++waiting == limits_.plan.max_sequences) break;  // no more can be admitted
  }
  Plan result = plan(states, cache_.pool().free(), limits_.plan);
  GLMOCR_CHECK(states.empty() || !result.empty());
  return result;
}

void Engine::Impl::make_room(const Plan& plan) {
  for (const std::size_t i : plan.preempt) {
    cache_.pool().give_back(sequences_[i]->pages());
    sequences_[i]->preempt();
    ++counters_.preemptions;
  }
  for (const std::size_t i : plan.admit) sequences_[i]->admit(Clock::now());
}

void Engine::Impl::encode(const Plan& plan) {
  std::vector<PictureJob> jobs;
  for (const PlannedPictures& planned : plan.pictures) {
    Sequence& sequence = *sequences_[planned.sequence];
    try {
      runner_.reserve_features(sequence);
    } catch (...) {
      finish(sequence, FinishReason::error, std::current_exception());
      continue;
    }
    const std::size_t first = sequence.pictures_encoded();
    for (std::size_t i = 0; i < planned.count; ++i) jobs.push_back({&sequence, first + i});
  }
  encode(jobs);
}

// What fails together is tried in halves, so that only the request whose picture is at fault ends.
void Engine::Impl::encode(std::span<const PictureJob> jobs) {
  if (jobs.empty()) return;
  const Clock::time_point begin = Clock::now();
  try {
    runner_.encode(jobs);
  } catch (...) {
    if (jobs.size() == 1) return finish(*jobs[0].sequence, FinishReason::error, std::current_exception());
    encode(jobs.first(jobs.size() / 2));
    encode(jobs.subspan(jobs.size() / 2));
    return;
  }
  const std::chrono::duration<double> seconds = Clock::now() - begin;
  counters_.vision_seconds += seconds.count();
  const Sequence* last = nullptr;
  for (const PictureJob& job : jobs) {
    job.sequence->picture_done();
    counters_.vision_patches += job.sequence->picture(job.picture).grid.patches();
    if (job.sequence != last) job.sequence->add_vision_time(seconds.count() * 1000);
    last = job.sequence;
  }
}

void Engine::Impl::run_rows(const Plan& plan) {
  std::vector<RowJob> jobs;
  for (const PlannedRows& planned : plan.rows) {
    Sequence& sequence = *sequences_[planned.sequence];
    if (sequence.finished()) continue;  // its pictures failed
    const std::int64_t pages = pages_for(planned.begin + planned.count, cache_.page_size());
    cache_.pool().take(pages - static_cast<std::int64_t>(sequence.pages().size()), sequence.pages());
    jobs.push_back({&sequence, planned.begin, planned.count, planned.sample});
  }
  run_rows(jobs);
}

void Engine::Impl::run_rows(std::span<const RowJob> jobs) {
  if (jobs.empty()) return;
  const Clock::time_point begin = Clock::now();
  std::vector<SampledToken> tokens;
  try {
    tokens = runner_.run(jobs);
  } catch (...) {
    if (jobs.size() == 1) return finish(*jobs[0].sequence, FinishReason::error, std::current_exception());
    run_rows(jobs.first(jobs.size() / 2));
    run_rows(jobs.subspan(jobs.size() / 2));
    return;
  }
  const std::chrono::duration<double> seconds = Clock::now() - begin;
  bool decodes_only = true;
  std::size_t next = 0;
  for (const RowJob& job : jobs) {
    const std::int64_t end = job.begin + job.count;
    const bool decodes = job.count == 1 && job.begin >= job.sequence->prompt_tokens();
    decodes_only = decodes_only && decodes;
    if (!decodes) counters_.prompt_tokens += job.count;
    job.sequence->rows_done(end);
    if (job.sample) accept(*job.sequence, std::move(tokens[next++]));
  }
  counters_.completion_tokens += std::ssize(tokens);
  if (decodes_only) {
    counters_.decode_tokens += std::ssize(tokens);
    ++counters_.decode_steps;
  }
  (decodes_only ? counters_.decode_seconds : counters_.prefill_seconds) += seconds.count();
}

void Engine::Impl::accept(Sequence& sequence, SampledToken token) {
  try {
    if (const auto reason = sequence.accept(std::move(token), Clock::now())) finish(sequence, *reason);
  } catch (...) {
    finish(sequence, FinishReason::error, std::current_exception());
  }
}

void Engine::Impl::finish(Sequence& sequence, FinishReason reason, std::exception_ptr error) {
  if (sequence.finished()) return;
  cache_.pool().give_back(sequence.pages());
  ++(reason == FinishReason::error ? counters_.failed_requests : counters_.finished_requests);
  sequence.finish(reason, std::move(error), Clock::now());
}

// Ends those that took part, and the first, so that the next step is another one.
void Engine::Impl::fail_step(const std::exception_ptr& error) {
  for (const auto& sequence : sequences_) {
    if (sequence->running() || sequence == sequences_.front()) finish(*sequence, FinishReason::error, error);
  }
}

// Counters first: who has waited for a request finds it in them.
void Engine::Impl::remove_finished() {
  publish_stats();
  for (const auto& sequence : sequences_) {
    if (sequence->finished()) sequence->complete_handle();
  }
  std::erase_if(sequences_, [](const auto& sequence) { return sequence->finished(); });
}

void Engine::Impl::publish_stats() {
  counters_.running = counters_.waiting = 0;
  for (const auto& sequence : sequences_) {
    if (!sequence->finished()) ++(sequence->running() ? counters_.running : counters_.waiting);
  }
  counters_.free_pages = cache_.pool().free();
  counters_.peak_pages = cache_.pool().peak();
  counters_.peak_arena_bytes = model_.device().arena_peak_bytes();
  const std::lock_guard lock(mutex_);
  stats_ = counters_;
}

EngineStats Engine::Impl::stats() const {
  const std::lock_guard lock(mutex_);
  EngineStats stats = stats_;
  stats.waiting += std::ssize(inbox_);
  return stats;
}

Engine::Engine(const GlmOcr& model, const EngineOptions& options)
    : impl_(std::make_unique<Impl>(model, options)) {}
Engine::~Engine() = default;

std::shared_ptr<RequestHandle> Engine::submit(Request request) { return impl_->submit(std::move(request)); }

bool Engine::step() {
  GLMOCR_CHECK(!impl_->has_thread());
  return impl_->step();
}

EngineStats Engine::stats() const { return impl_->stats(); }
std::int64_t Engine::context_limit() const { return impl_->limits().context; }

std::int64_t Engine::kv_bytes_per_token(const GlmOcrConfig& config, DType compute) {
  return KvCache::bytes_per_token(config.text, compute);
}

}  // namespace glmocr::engine
