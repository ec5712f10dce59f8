// SPDX-License-Identifier: Apache-2.0
#include "engine/sequence.h"

#include <algorithm>

namespace glmocr::engine {
namespace {

double milliseconds(Sequence::Clock::duration duration) {
  return std::chrono::duration<double, std::milli>(duration).count();
}

}  // namespace

Sequence::Sequence(Request request, const GlmOcrConfig& config, const Tokenizer& tokenizer,
                   std::int64_t context_limit)
    : request_(std::move(request)),
      merge_size_(config.preprocess.merge_size),
      stop_ids_(request_.stop_ids.empty() ? config.generation.eos_token_id : request_.stop_ids),
      max_length_(std::min(prompt_tokens() + request_.max_tokens, context_limit)),
      tokens_(request_.prompt.ids),
      sampler_(request_.sampling, request_.prompt.ids, std::min(tokenizer.size(), config.text.vocab_size)),
      output_(tokenizer, request_.stop) {}

SequenceState Sequence::state() const {
  SequenceState state{
      .running = running_, .tokens = std::ssize(tokens_), .cached = cached_, .pages = std::ssize(pages_)};
  for (std::size_t i = pictures_encoded_; i < request_.images.size(); ++i) {
    state.pictures.push_back(request_.images[i].grid.patches());
  }
  return state;
}

std::optional<FinishReason> Sequence::interrupted(Clock::time_point now) const {
  const bool late = request_.deadline && now >= *request_.deadline;
  if (late || handle_->cancel_requested()) return FinishReason::cancelled;
  return std::nullopt;
}

void Sequence::admit(Clock::time_point now) {
  running_ = true;
  if (!admitted_) admitted_ = now;
}

void Sequence::preempt() {
  GLMOCR_CHECK(pages_.empty());
  running_ = false;
  cached_ = 0;
  if (!features_) pictures_encoded_ = 0;  // given up when the prompt had been run: encoded once more
}

std::int64_t Sequence::first_feature(std::size_t picture) const {
  std::int64_t tokens = 0;
  for (std::size_t i = 0; i < picture; ++i) tokens += request_.images[i].grid.tokens(merge_size_);
  return tokens;
}

RowSource Sequence::rows(std::int64_t begin, std::int64_t count, bool sample) const {
  return {.tokens = tokens_,
          .positions = &request_.prompt.positions,
          .pages = pages_,
          .begin = begin,
          .count = count,
          .sample = sample};
}

void Sequence::rows_done(std::int64_t end) {
  cached_ = end;
  if (cached_ >= prompt_tokens()) features_ = Buffer();
}

bool Sequence::is_stop_id(TokenId token) const {
  return !request_.ignore_eos && std::find(stop_ids_.begin(), stop_ids_.end(), token) != stop_ids_.end();
}

std::optional<FinishReason> Sequence::accept(SampledToken sampled, Clock::time_point now) {
  if (!first_token_) first_token_ = now;
  tokens_.push_back(sampled.token);
  logprobs_.push_back(sampled.logprob);
  sampler_.accept(sampled.token);

  std::optional<FinishReason> reason;
  TokenEvent event{sampled.token, "", sampled.logprob, std::move(sampled.top)};
  if (is_stop_id(sampled.token)) {
    reason = FinishReason::stop;
  } else {
    event.text = output_.push(sampled.token);
    if (std::ssize(tokens_) >= max_length_) reason = FinishReason::length;
  }
  if (reason) event.text += output_.finish();
  if (output_.stopped()) reason = FinishReason::stop;
  handle_->publish(event);
  if (request_.on_token) request_.on_token(event);
  return reason;
}

void Sequence::finish(FinishReason reason, std::exception_ptr error, Clock::time_point now) {
  TokenEvent rest{.text = output_.finish()};
  if (!rest.text.empty()) {
    handle_->publish(rest);
    try {
      if (request_.on_token && reason != FinishReason::error) request_.on_token(rest);
    } catch (...) {
      reason = FinishReason::error;
      error = std::current_exception();
    }
  }
  const std::int64_t prompt = prompt_tokens();
  completion_ = Completion{.text = output_.text(),
                           .tokens = {tokens_.begin() + prompt, tokens_.end()},
                           .logprobs = std::move(logprobs_),
                           .finish_reason = reason,
                           .prompt_tokens = prompt,
                           .image_tokens = image_tokens(),
                           .completion_tokens = std::ssize(tokens_) - prompt,
                           .timings = final_timings(now),
                           .error = error};
  features_ = Buffer();
}

Timings Sequence::final_timings(Clock::time_point now) const {
  Timings timings = timings_;
  timings.queue_ms = milliseconds(admitted_.value_or(now) - submitted_);
  if (!admitted_) return timings;
  const double to_first_token = milliseconds(first_token_.value_or(now) - *admitted_);
  timings.prefill_ms = std::max(to_first_token - timings.vision_ms, 0.0);
  if (first_token_) timings.decode_ms = milliseconds(now - *first_token_);
  return timings;
}

}  // namespace glmocr::engine
