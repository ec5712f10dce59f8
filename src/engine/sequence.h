// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <chrono>
#include <memory>
#include <optional>
#include <vector>

#include "base/memory_budget.h"
#include "engine/job.h"
#include "engine/repetition.h"
#include "engine/request.h"
#include "engine/sampler.h"
#include "engine/scheduler.h"
#include "engine/stop.h"
#include "tensor/buffer.h"

namespace glmocr::engine {

// A token that a step chose.
struct SampledToken {
  TokenId token = 0;
  float logprob = 0;                           // after the penalty, before temperature
  std::vector<std::pair<TokenId, float>> top;  // SamplingParams::logprobs best, best first
};

// One request in the engine. While it waits, the queue has it; then only the thread of the device that took it uses it.
class Sequence {
 public:
  using Clock = std::chrono::steady_clock;

  // `context_limit`: the most tokens that prompt and output may have together. `memory`: the share of the
  // request's pictures and their features, released when the request ends.
  Sequence(Request request, const GlmOcrConfig& config, const Tokenizer& tokenizer,
           std::int64_t context_limit, MemoryShare memory = {});

  const std::shared_ptr<JobState>& job() const { return job_; }
  bool running() const { return running_; }
  // Without the pictures.
  SequenceState state() const;
  // Why it is to end before its text does: cancelled, or past its time limit.
  std::optional<FinishReason> interruption(Clock::time_point now) const;

  // `device`: that it runs on.
  void admit(Clock::time_point now, const std::string& device);
  // After its pages were taken: it waits again, and prompt and output will be recomputed.
  void preempt();
  // The same after its device was lost, so that another one can run it.
  void leave_device();
  int devices_lost() const { return devices_lost_; }
  // Counts its pictures in another budget than before. False, and nothing changes, where that has no room.
  bool move_memory(const std::shared_ptr<MemoryBudget>& budget);

  // Pictures and their features [image_tokens, out_hidden], which are kept until the prompt has been run. Of the
  // pictures, first some are encoded, then some are being encoded in one batch, then some have not begun.
  std::int64_t pictures() const { return std::ssize(request_.images); }
  std::int64_t pictures_begun() const { return pictures_begun_; }
  const PreprocessedImage& picture(std::int64_t index) const { return request_.images[index]; }
  std::int64_t first_feature(std::int64_t picture) const;
  std::int64_t image_tokens() const { return request_.prompt.image_tokens; }
  Buffer& features() { return features_; }
  // Negative: so many of those begun last have not begun after all.
  void begin_pictures(std::int64_t count) {
    pictures_begun_ += count;
    GLMOCR_CHECK(pictures_encoded_ <= pictures_begun_);
  }
  void picture_done() {
    ++pictures_encoded_;
    GLMOCR_CHECK(pictures_encoded_ <= pictures_begun_);
  }
  // What a preempted request spends on its pictures again counts as decoding once it has a token.
  void add_vision_time(double milliseconds) {
    if (!first_token_) result_.timings.vision_ms += milliseconds;
  }

  std::vector<std::int32_t>& pages() { return pages_; }
  const std::vector<std::int32_t>& pages() const { return pages_; }

  // Prompt and output, and the positions of the prompt.
  std::span<const TokenId> tokens() const { return tokens_; }
  std::int64_t prompt_tokens() const { return std::ssize(request_.prompt.ids); }
  const MropePositions& positions() const { return request_.prompt.positions; }
  const Sampler& sampler() const { return sampler_; }
  // Whether another token may follow `tokens` tokens of prompt and output.
  bool has_room_after(std::int64_t tokens) const { return tokens < max_length_; }

  // The keys and values of the tokens [0, end) are in the cache.
  void rows_done(std::int64_t end);

  // Takes the next token and streams it. Returns the reason if the text ends with it. Throws what on_token
  // throws.
  std::optional<FinishReason> accept(const SampledToken& sampled, Clock::time_point now);

  // Ends the text and streams what was held back.
  void finish(FinishReason reason, Clock::time_point now);
  // The same with an error, which the callers get instead of a result.
  void fail(std::exception_ptr error, Clock::time_point now);
  bool finished() const { return finished_; }
  bool failed() const { return error_ != nullptr; }
  void complete_job();  // wakes the callers; the last call

 private:
  void close(Clock::time_point now);
  bool is_stop_id(TokenId token) const;
  std::optional<std::int64_t> tokens_to_keep(TokenId token);
  void cut(std::int64_t output_tokens);
  Timings final_timings(Clock::time_point now) const;

  Request request_;
  int merge_size_;
  std::int64_t max_length_;  // tokens of prompt and output
  MemoryShare memory_;
  std::shared_ptr<JobState> job_ = std::make_shared<JobState>();

  bool running_ = false;
  bool finished_ = false;
  int devices_lost_ = 0;         // while it ran on them
  std::vector<TokenId> tokens_;  // prompt, then output
  std::int64_t cached_ = 0;      // of the first ones, keys and values are in the pages
  std::vector<std::int32_t> pages_;
  std::int64_t pictures_encoded_ = 0, pictures_begun_ = 0;
  Buffer features_;

  const Tokenizer& tokenizer_;
  Sampler sampler_;
  OutputText output_;
  RepetitionGuard guard_;
  std::optional<std::int64_t> kept_;  // tokens of output that are kept of a text that repeats itself

  Clock::time_point submitted_ = Clock::now();
  std::optional<Clock::time_point> admitted_, first_token_;
  Result result_;  // filled as the text grows
  std::exception_ptr error_;
};

}  // namespace glmocr::engine
