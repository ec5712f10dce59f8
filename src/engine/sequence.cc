// SPDX-License-Identifier: Apache-2.0
#include "engine/sequence.h"

#include <algorithm>
#include <numeric>

namespace glmocr::engine {
namespace {

double milliseconds(Sequence::Clock::duration duration) {
  return std::chrono::duration<double, std::milli>(duration).count();
}

double mean(std::span<const float> values) {
  if (values.empty()) return 0;
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

std::int64_t count_characters(const std::string& text) {
  return std::count_if(text.begin(), text.end(),
                       [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; });
}

}  // namespace

Sequence::Sequence(Request request, const GlmOcrConfig& config, const Tokenizer& tokenizer,
                   std::int64_t context_limit, MemoryShare memory)
    : request_(std::move(request)),
      merge_size_(config.preprocess.merge_size),
      max_length_(std::min(prompt_tokens() + request_.options.max_tokens, context_limit)),
      memory_(std::move(memory)),
      tokens_(request_.prompt.ids),
      tokenizer_(tokenizer),
      sampler_(request_.options.sampling, request_.prompt.ids,
               std::min(tokenizer.size(), config.text.vocab_size)),
      output_(tokenizer, request_.options.stop),
      guard_(request_.room) {}

SequenceState Sequence::state() const {
  return {.running = running_,
          .prompt = prompt_tokens(),
          .tokens = std::ssize(tokens_),
          .cached = cached_,
          .pages = std::ssize(pages_)};
}

std::optional<FinishReason> Sequence::interruption(Clock::time_point now) const {
  if (job_->cancel_requested()) return FinishReason::cancelled;
  const auto& limit = request_.options.time_limit;
  if (limit && admitted_ && now - *admitted_ >= *limit) return FinishReason::time_limit;
  return std::nullopt;
}

void Sequence::admit(Clock::time_point now, const std::string& device) {
  running_ = true;
  result_.device = device;
  if (!admitted_) admitted_ = now;
}

void Sequence::preempt() {
  GLMOCR_CHECK(pages_.empty());
  running_ = false;
  cached_ = 0;
  if (!features_) pictures_encoded_ = pictures_begun_ = 0;  // they were freed after the prompt
}

bool Sequence::move_memory(const std::shared_ptr<MemoryBudget>& budget) {
  MemoryShare share = MemoryShare::try_take(budget, memory_.bytes());
  if (!share) return false;
  memory_ = std::move(share);
  return true;
}

void Sequence::leave_device() {
  devices_lost_ += running_;
  features_ = Buffer();
  preempt();
}

std::int64_t Sequence::first_feature(std::int64_t picture) const {
  std::int64_t tokens = 0;
  for (std::int64_t i = 0; i < picture; ++i) tokens += request_.images[i].grid.tokens(merge_size_);
  return tokens;
}

void Sequence::rows_done(std::int64_t end) {
  cached_ = end;
  if (cached_ >= prompt_tokens()) features_ = Buffer();
}

bool Sequence::is_stop_id(TokenId token) const {
  return std::find(request_.stop_ids.begin(), request_.stop_ids.end(), token) != request_.stop_ids.end();
}

std::optional<FinishReason> Sequence::accept(const SampledToken& sampled, Clock::time_point now) {
  if (!first_token_) first_token_ = now;
  tokens_.push_back(sampled.token);
  result_.logprobs.push_back(sampled.logprob);
  sampler_.accept(sampled.token);

  std::optional<FinishReason> reason;
  TokenEvent event{sampled.token, "", sampled.logprob, sampled.top};
  if (is_stop_id(sampled.token)) {
    reason = FinishReason::stop;
  } else {
    event.text = output_.push(sampled.token);
    if (!has_room_after(std::ssize(tokens_))) reason = FinishReason::length;
    if (!output_.stopped()) kept_ = tokens_to_keep(sampled.token);
    if (kept_) reason = FinishReason::repetition;
  }
  if (reason && !kept_) event.text += output_.finish();
  if (output_.stopped()) reason = FinishReason::stop;
  job_->publish(event);
  if (request_.options.on_token) request_.options.on_token(event);
  return reason;
}

std::optional<std::int64_t> Sequence::tokens_to_keep(TokenId token) {
  if (!request_.options.guard) return std::nullopt;
  return guard_.push(token, tokenizer_.piece_bytes(token, true));
}

void Sequence::cut(std::int64_t output_tokens) {
  tokens_.resize(prompt_tokens() + output_tokens);
  result_.logprobs.resize(output_tokens);
  OutputText kept(tokenizer_, request_.options.stop);
  for (const TokenId token : std::span(tokens_).subspan(prompt_tokens())) kept.push(token);
  result_.text = kept.text() + kept.held();
  result_.void_characters =
      std::max<std::int64_t>(count_characters(output_.text()) - count_characters(result_.text), 0);
}

void Sequence::finish(FinishReason reason, Clock::time_point now) {
  result_.finish_reason = reason;
  const TokenEvent rest{.text = kept_ ? "" : output_.finish()};
  if (!rest.text.empty()) {
    job_->publish(rest);
    try {
      if (request_.options.on_token) request_.options.on_token(rest);
    } catch (...) {
      error_ = std::current_exception();
    }
  }
  close(now);
}

void Sequence::fail(std::exception_ptr error, Clock::time_point now) {
  error_ = std::move(error);
  const TokenEvent rest{.text = output_.finish()};
  if (!rest.text.empty()) job_->publish(rest);
  close(now);
}

// Fills in the result and gives back what the request held.
void Sequence::close(Clock::time_point now) {
  finished_ = true;
  if (kept_) {
    cut(*kept_);
  } else {
    result_.text = output_.text();
  }
  result_.tokens.assign(tokens_.begin() + prompt_tokens(), tokens_.end());
  result_.mean_logprob = mean(result_.logprobs);
  result_.prompt_tokens = prompt_tokens();
  result_.image_tokens = image_tokens();
  result_.completion_tokens = std::ssize(result_.tokens);
  for (const PreprocessedImage& image : request_.images) {
    result_.image_grid_thw.push_back({image.grid.t, image.grid.h, image.grid.w});
  }
  result_.timings = final_timings(now);
  features_ = Buffer();
  request_.images.clear();
  memory_ = MemoryShare();
}

void Sequence::complete_job() {
  if (error_) {
    job_->fail(error_);
  } else {
    job_->finish(std::move(result_));
  }
}

Timings Sequence::final_timings(Clock::time_point now) const {
  Timings timings = result_.timings;
  timings.queue_ms = milliseconds(admitted_.value_or(now) - submitted_);
  if (!admitted_) return timings;
  const double to_first_token = milliseconds(first_token_.value_or(now) - *admitted_);
  timings.prefill_ms = std::max(to_first_token - timings.vision_ms, 0.0);
  if (first_token_) timings.decode_ms = milliseconds(now - *first_token_);
  return timings;
}

}  // namespace glmocr::engine
