// SPDX-License-Identifier: Apache-2.0
#include "engine/core.h"

#include <algorithm>
#include <iterator>

#include "base/error.h"
#include "base/log.h"
#include "base/memory.h"

namespace glmocr::engine {

using Clock = Sequence::Clock;

std::int64_t memory_used(Device& device) {
  device.reserve_arena(0);
  return device.memory()->used();
}

Core::Core(const GlmOcr& model, const EngineOptions& options)
    : Core(std::make_shared<RequestQueue>(model, engine_limits(model, options, memory_used(model.device()))),
           model) {}

Core::Core(std::shared_ptr<RequestQueue> queue, const GlmOcr& model)
    : model_(model),
      queue_(std::move(queue)),
      limits_(queue_->limits()),
      name_(model.device().name()),
      depth_(model.device().step_sizes().depth),
      cache_(model.device(), model.decoder().kv_spec(limits_.pages, limits_.plan.page_size)),
      runner_(model, cache_, limits_.step()) {
  model.device().reserve_arena(limits_.workspace + limits_.scratch);
  if (limits_.encoding_patches > 0) {
    encoding_ = MemoryShare(model.device().memory(), model.vision().held_bytes(limits_.encoding_patches),
                            "pictures that are half encoded");
  }
  counters_.total_pages = limits_.pages;
  counters_.page_bytes = limits_.page_bytes;
  member_ = queue_->join(model.device().memory());
  publish_stats();
}

Core::~Core() {
  in_flight_.clear();
  for (const auto& sequence : sequences_) finish(*sequence, FinishReason::cancelled);
  remove_finished();
  try {
    model_.device().reserve_arena(0);
  } catch (const Error&) {  // of a lost device
  }
}

void Core::run() {
  while (!lost_) {
    if (sequences_.empty() ? !queue_->wait_for_work(member_) : queue_->closed()) return;
    step();
  }
}

bool Core::take_requests() {
  queue_->take(member_, sequences_);
  return !sequences_.empty();
}

// While a step is in flight, only its rows can be launched again; everything else waits for its results.
bool Core::step() {
  try {
    if (in_flight_.empty()) {
      if (!take_requests()) return false;
      end_interrupted();
      const Plan plan = make_plan();
      make_room(plan);
      encode(plan);
      run_rows(plan);
    } else {
      launch_ahead();
      collect();
    }
  } catch (...) {
    // Without a lost device it is a bug in this code: callers must not wait forever.
    device_is_lost() ? leave(current_error()) : fail_step(std::current_exception());
  }
  ++counters_.steps;
  remove_finished();
  return true;
}

void Core::end_interrupted() {
  const Clock::time_point now = Clock::now();
  for (const auto& sequence : sequences_) {
    if (const auto reason = sequence->interruption(now)) finish(*sequence, *reason);
  }
  remove_finished();
}

Plan Core::make_plan() {
  std::vector<SequenceState> states;
  std::int64_t waiting = 0;
  for (const auto& sequence : sequences_) {
    states.push_back(state_of(*sequence));
    if (!states.back().running && ++waiting == limits_.plan.max_sequences) break;  // no more can be admitted
  }
  PlanState state{.free_pages = cache_.pool().free(),
                  .oldest_first = overtaken_ >= kMostOvertakes,
                  .texts_wait = pace_.texts_wait()};
  if (limits_.picture_patches > 0) state.most_patches = limits_.encoding_patches;
  for (const PictureBatch& batch : batches_) {
    state.batches.push_back({batch.pass.patches(), batch.pass.flop_left()});
  }
  Plan result = plan(states, state, limits_.plan);
  GLMOCR_CHECK(states.empty() || !result.empty());
  overtaken_ = result.oldest_waits ? overtaken_ + 1 : 0;
  return result;
}

SequenceState Core::state_of(const Sequence& sequence) const {
  SequenceState state = sequence.state();
  for (std::int64_t i = sequence.pictures_begun(); i < sequence.pictures(); ++i) {
    const GridTHW& grid = sequence.picture(i).grid;
    state.pictures.push_back({grid.patches(), model_.vision().flop({&grid, 1})});
  }
  for (std::size_t b = 0; b < batches_.size(); ++b) {
    const auto is_of = [&](const PictureJob& job) { return job.sequence == &sequence; };
    if (std::any_of(batches_[b].jobs.begin(), batches_[b].jobs.end(), is_of)) state.batch = b;
  }
  return state;
}

void Core::make_room(const Plan& plan) {
  for (const std::size_t i : plan.preempt) {
    cache_.pool().give_back(sequences_[i]->pages());
    sequences_[i]->preempt();
    runner_.restage();
    ++counters_.preemptions;
  }
  for (const std::size_t i : plan.admit) sequences_[i]->admit(Clock::now(), name_);
  report_load();
}

void Core::encode(const Plan& plan) {
  std::optional<std::size_t> index = plan.batch ? plan.batch : begin_pictures(plan.pictures);
  if (!index && !plan.pictures.empty()) index = shortest_batch();
  if (!index) return;
  PictureBatch& batch = batches_[*index];
  const Clock::time_point begin = Clock::now();
  bool complete = false;
  std::exception_ptr error;
  try {
    complete = runner_.encode(batch, limits_.plan.vision_flop);
  } catch (...) {
    if (device_is_lost()) throw;
    error = std::current_exception();
  }
  charge_slice(batch, Clock::now() - begin);
  if (!complete && !error) return;
  if (complete) pictures_done(batch);
  const std::vector<PictureJob> jobs = std::move(batch.jobs);
  batches_.erase(batches_.begin() + static_cast<std::ptrdiff_t>(*index));
  if (error) split_batch(jobs, error);
}

void Core::charge_slice(const PictureBatch& batch, std::chrono::duration<double> time) {
  counters_.vision_seconds += time.count();
  pace_.slice_ran(time.count());
  const Sequence* last = nullptr;
  for (const PictureJob& job : batch.jobs) {
    if (job.sequence && job.sequence != last) job.sequence->add_vision_time(time.count() * 1000);
    last = job.sequence;
  }
}

std::optional<std::size_t> Core::shortest_batch() const {
  const auto shortest = std::min_element(batches_.begin(), batches_.end(), [](const auto& a, const auto& b) {
    return a.pass.flop_left() < b.pass.flop_left();
  });
  if (shortest == batches_.end()) return std::nullopt;
  return shortest - batches_.begin();
}

// Returns the index of the new batch, or none where it could not be begun.
std::optional<std::size_t> Core::begin_pictures(std::span<const PlannedPictures> pictures) {
  std::vector<PictureJob> jobs;
  for (const PlannedPictures& planned : pictures) {
    Sequence& sequence = *sequences_[planned.sequence];
    const std::int64_t first = sequence.pictures_begun(), count = static_cast<std::int64_t>(planned.count);
    for (std::int64_t i = first; i < first + count; ++i) jobs.push_back({&sequence, i});
    sequence.begin_pictures(count);
  }
  if (jobs.empty() || !begin_batch(jobs)) return std::nullopt;
  return batches_.size() - 1;
}

// Where memory is short that other batches will give back, the pictures begin in a later step.
bool Core::begin_batch(const std::vector<PictureJob>& jobs) {
  try {
    batches_.push_back(runner_.begin(jobs, bool{encoding_}));
    return true;
  } catch (const Error& error) {
    if (error.code() == ErrorCode::memory && !batches_.empty()) {
      for (const PictureJob& job : jobs) job.sequence->begin_pictures(-1);
      return false;
    }
    if (device_is_lost()) throw;
    split_batch(jobs, std::current_exception());
  } catch (...) {
    split_batch(jobs, std::current_exception());
  }
  return false;
}

// After a batch has failed: its first half begins again, the pictures of the other wait for a later step. So only the
// request whose picture is at fault fails, and the pictures of a request are encoded in their order.
void Core::split_batch(const std::vector<PictureJob>& jobs, const std::exception_ptr& error) {
  std::vector<PictureJob> live;
  std::copy_if(jobs.begin(), jobs.end(), std::back_inserter(live),
               [](const PictureJob& job) { return job.sequence && !job.sequence->finished(); });
  if (live.empty()) return;
  if (jobs.size() == 1) return fail(*live[0].sequence, error);
  const auto middle = live.begin() + (std::ssize(live) + 1) / 2;
  for (auto job = middle; job != live.end(); ++job) job->sequence->begin_pictures(-1);
  begin_batch({live.begin(), middle});
}

void Core::pictures_done(const PictureBatch& batch) {
  for (std::int64_t i = 0; i < std::ssize(batch.jobs); ++i) {
    if (!batch.jobs[i].sequence) continue;
    batch.jobs[i].sequence->picture_done();
    counters_.patches += batch.pass.grids()[i].patches();
  }
}

// A batch goes on without the requests that have ended, unless it still needs their pictures: then the others begin
// anew in a later step.
void Core::drop_finished_pictures() {
  const auto has_live = [](const PictureBatch& batch) {
    return std::any_of(batch.jobs.begin(), batch.jobs.end(),
                       [](const PictureJob& job) { return job.sequence; });
  };
  for (PictureBatch& batch : batches_) {
    bool ended = false;
    for (PictureJob& job : batch.jobs) {
      if (!job.sequence || !job.sequence->finished()) continue;
      job.sequence = nullptr;
      ended = true;
    }
    if (!ended || !batch.pass.reads_patches()) continue;
    for (PictureJob& job : batch.jobs) {
      if (job.sequence) job.sequence->begin_pictures(-1);
      job.sequence = nullptr;
    }
  }
  std::erase_if(batches_, [&](const PictureBatch& batch) { return !has_live(batch); });
}

void Core::run_rows(const Plan& plan) {
  std::vector<StepRows> rows;
  for (const StepRows& planned : plan.rows) {
    if (sequence(planned).finished()) continue;  // its pictures failed
    std::vector<std::int32_t>& pages = sequence(planned).pages();
    cache_.pool().take(pages_for(planned.end(), cache_.page_size()) - std::ssize(pages), pages);
    rows.push_back(planned);
  }
  run_rows(rows);
}

// Retries in halves, as with pictures.
void Core::run_rows(std::span<const StepRows> rows) {
  if (rows.empty()) return;
  try {
    launch(rows);
    while (std::ssize(in_flight_) >= depth_) collect();
  } catch (...) {
    if (device_is_lost()) throw;
    in_flight_.clear();
    runner_.restage();
    if (rows.size() == 1) {
      return fail(sequence(rows[0]), std::current_exception());
    }
    run_rows(rows.first(rows.size() / 2));
    while (!in_flight_.empty()) collect();  // the other half would overwrite its results
    run_rows(rows.subspan(rows.size() / 2));
  }
}

void Core::launch(std::span<const StepRows> rows) {
  const Clock::time_point begin = Clock::now();
  const StepRunner::Ticket ticket = runner_.launch(rows, sequences_);
  in_flight_.push_back({ticket, {rows.begin(), rows.end()}, begin});
}

// Launches the rows of the last step again, for the next token, where that is certain to be the next step:
// all its sequences decode and have room, and no other request wants to run.
void Core::launch_ahead() {
  if (std::ssize(in_flight_) >= depth_) return;
  if (queue_->closed() || queue_->has_work_for(member_)) return;
  std::vector<StepRows> rows = in_flight_.back().rows;
  if (rows.size() != sequences_.size()) return;
  std::int64_t pages_needed = 0;
  const Clock::time_point now = Clock::now();
  for (StepRows& r : rows) {
    ++r.begin;
    const Sequence& s = sequence(r);
    if (s.finished() || s.interruption(now) || !s.has_room_after(r.end())) return;
    pages_needed += pages_for(r.end(), cache_.page_size()) - std::ssize(s.pages());
  }
  if (!runner_.continues(rows) || pages_needed > cache_.pool().free()) return;
  for (const StepRows& r : rows) {
    std::vector<std::int32_t>& pages = sequence(r).pages();
    cache_.pool().take(pages_for(r.end(), cache_.page_size()) - std::ssize(pages), pages);
  }
  launch(rows);
}

void Core::collect() {
  const InFlight step = std::move(in_flight_.front());
  in_flight_.pop_front();
  take_results(step, runner_.collect(step.ticket, step.rows, sequences_));
}

void Core::take_results(const InFlight& step, std::span<const SampledToken> tokens) {
  // A step that was launched while another ran is counted from the end of that one.
  const Clock::time_point now = Clock::now();
  const std::chrono::duration<double> seconds = now - std::max(step.begin, results_taken_);
  results_taken_ = now;
  bool decodes_only = true, texts_ran = false;
  std::int64_t next = 0, generated = 0;
  for (const StepRows& r : step.rows) {
    const std::int64_t first = std::exchange(next, next + r.logits);
    Sequence& s = sequence(r);
    if (s.finished()) continue;  // it ended in the previous step
    const bool decodes = r.begin >= s.prompt_tokens() && r.logits > 0;
    decodes_only = decodes_only && decodes;
    texts_ran = texts_ran || decodes;
    if (!decodes) counters_.prompt_tokens += r.count;
    s.rows_done(r.end());
    for (std::int64_t i = first; i < next && !s.finished(); ++i, ++generated) accept(s, tokens[i]);
  }
  counters_.completion_tokens += generated;
  if (decodes_only) {
    counters_.decode_tokens += generated;
    ++counters_.decode_steps;
  }
  if (texts_ran) pace_.texts_ran(decodes_only ? std::optional(seconds.count()) : std::nullopt);
  (decodes_only ? counters_.decode_seconds : counters_.prefill_seconds) += seconds.count();
}

void Core::accept(Sequence& sequence, const SampledToken& token) {
  try {
    if (token.token == kNotFinite) {
      glmocr::fail(ErrorCode::model,
                   cat("the logits after ", sequence.tokens().size(),
                       " tokens are not finite (NaN or infinity): the weights are damaged, or this input "
                       "overflows the compute type (try --dtype fp32)"));
    }
    if (const auto reason = sequence.accept(token, Clock::now())) finish(sequence, *reason);
  } catch (...) {
    fail(sequence, std::current_exception());
  }
}

void Core::finish(Sequence& sequence, FinishReason reason) {
  if (sequence.finished()) return;
  sequence.finish(reason, Clock::now());
  ++(sequence.failed() ? counters_.failed : counters_.finished);
}

void Core::fail(Sequence& sequence, std::exception_ptr error) {
  if (sequence.finished()) return;
  sequence.fail(std::move(error), Clock::now());
  ++counters_.failed;
}

// Fails the running requests, and the first of the list, so that the next step differs.
void Core::fail_step(const std::exception_ptr& error) {
  in_flight_.clear();
  runner_.restage();
  for (const auto& sequence : sequences_) {
    if (sequence->running() || sequence == sequences_.front()) fail(*sequence, error);
  }
}

// Whether the device does not work any more: not even waiting for it does. Asked after an error.
bool Core::device_is_lost() const {
  try {
    model_.device().wait();
    return false;
  } catch (const Error&) {
    return true;
  }
}

// Gives all requests back to the queue. The last device fails them.
void Core::leave(const Error& error) {
  lost_ = true;
  in_flight_.clear();
  batches_.clear();
  remove_finished();
  for (const auto& sequence : sequences_) {
    cache_.pool().give_back(sequence->pages());
    sequence->leave_device();
  }
  const Error lost(ErrorCode::device, cat(name_, " is lost: ", error.what()));
  log(LogLevel::warning, lost.what());
  sequences_ = queue_->leave(member_, std::exchange(sequences_, {}), std::make_exception_ptr(lost));
  for (const auto& sequence : sequences_) fail(*sequence, std::make_exception_ptr(lost));
}

// Does nothing while a step is in flight: it may write to the pages of finished requests. Publishes the
// counters before it wakes callers, so that a request that was waited for is counted.
void Core::remove_finished() {
  if (!in_flight_.empty()) return;
  drop_finished_pictures();
  for (const auto& sequence : sequences_) {
    if (sequence->finished()) cache_.pool().give_back(sequence->pages());
  }
  publish_stats();
  for (const auto& sequence : sequences_) {
    if (sequence->finished()) sequence->complete_job();
  }
  if (std::erase_if(sequences_, [](const auto& sequence) { return sequence->finished(); }) > 0)
    runner_.restage();
}

void Core::report_load() {
  RequestQueue::Load load;
  for (const auto& sequence : sequences_) {
    if (sequence->finished()) continue;
    ++load.requests;
    load.waiting += !sequence->running();
    load.tokens += sequence->prompt_tokens();
  }
  queue_->report(member_, load);
}

void Core::publish_stats() {
  report_load();
  counters_.running = counters_.waiting = 0;
  for (const auto& sequence : sequences_) {
    if (!sequence->finished()) ++(sequence->running() ? counters_.running : counters_.waiting);
  }
  counters_.free_pages = cache_.pool().free();
  counters_.peak_pages = cache_.pool().peak();
  counters_.peak_workspace_bytes = model_.device().arena_peak_bytes();
  counters_.peak_memory_bytes = model_.device().memory()->peak();
  const std::lock_guard lock(mutex_);
  stats_ = counters_;
}

EngineStats Core::stats() const {
  const std::lock_guard lock(mutex_);
  return stats_;
}

}  // namespace glmocr::engine
