// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <memory>
#include <optional>
#include <vector>

#include "engine/batch.h"
#include "engine/request_handle.h"
#include "engine/sampler.h"
#include "engine/scheduler.h"
#include "engine/stop.h"
#include "models/glm_ocr/config.h"
#include "tensor/buffer.h"
#include "tensor/ops.h"

namespace glmocr::engine {

// One request on its way through the engine. Owned and used by the engine's thread once it is submitted.
class Sequence {
 public:
  using Clock = std::chrono::steady_clock;

  // `context_limit`: the most tokens that prompt and output may have together.
  Sequence(Request request, const GlmOcrConfig& config, const Tokenizer& tokenizer,
           std::int64_t context_limit);

  const std::shared_ptr<RequestHandle>& handle() const { return handle_; }
  bool running() const { return running_; }
  SequenceState state() const;
  std::optional<FinishReason> interrupted(Clock::time_point now) const;  // cancelled, or past its deadline

  void admit(Clock::time_point now);
  // Its pages were taken back: it waits again, and prompt and output will be run once more.
  void preempt();

  // Pictures and what the vision tower made of them: [image_tokens, out_hidden], kept while the prompt is
  // run.
  std::size_t pictures_encoded() const { return pictures_encoded_; }
  PreprocessedImage& picture(std::size_t index) { return request_.images[index]; }
  std::int64_t first_feature(std::size_t picture) const;
  std::int64_t image_tokens() const { return request_.prompt.image_tokens; }
  Buffer& features() { return features_; }
  void picture_done() { ++pictures_encoded_; }
  void add_vision_time(double milliseconds) { timings_.vision_ms += milliseconds; }

  std::vector<std::int32_t>& pages() { return pages_; }
  std::int64_t prompt_tokens() const { return std::ssize(request_.prompt.ids); }
  RowSource rows(std::int64_t begin, std::int64_t count, bool sample) const;
  void rows_done(std::int64_t end);
  SampleRow sample_row() const { return sampler_.row(std::ssize(tokens_)); }

  // Takes the next token and streams it; says why the text ends where it does. Throws what on_token throws.
  std::optional<FinishReason> accept(SampledToken sampled, Clock::time_point now);

  // Ends the text; what was held back is streamed.
  void finish(FinishReason reason, std::exception_ptr error, Clock::time_point now);
  bool finished() const { return completion_.has_value(); }
  void complete_handle() { handle_->finish(*std::move(completion_)); }  // the last thing that happens to it

 private:
  bool is_stop_id(TokenId token) const;
  Timings final_timings(Clock::time_point now) const;

  Request request_;
  int merge_size_;
  std::vector<TokenId> stop_ids_;
  std::int64_t max_length_;  // tokens of prompt and output
  std::shared_ptr<RequestHandle> handle_ = std::make_shared<RequestHandle>();

  bool running_ = false;
  std::vector<TokenId> tokens_;  // prompt, then output
  std::int64_t cached_ = 0;      // the first of them have keys and values in the pages
  std::vector<std::int32_t> pages_;
  std::size_t pictures_encoded_ = 0;
  Buffer features_;

  Sampler sampler_;
  OutputText output_;
  std::vector<float> logprobs_;

  Clock::time_point submitted_ = Clock::now();
  std::optional<Clock::time_point> admitted_, first_token_;
  Timings timings_;
  std::optional<Completion> completion_;
};

}  // namespace glmocr::engine
