// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "glmocr/error.h"
#include "glmocr/image.h"
#include "glmocr/model.h"
#include "glmocr/types.h"

namespace glmocr {

// One request: what to do with some pictures.
struct ReadOptions {
  Task task = Task::text;
  std::string schema;                 // task extract: JSON template with empty strings
  std::optional<std::string> prompt;  // instead of the task's prompt
  bool allow_control_tokens =
      false;  // control tokens written in `prompt` are matched instead of read as plain text

  // Enlarges pictures with letters below the height that the snapshot asks for (enlarge_letters_below in its
  // preprocessor_config.json; the published one asks for none). Off: the pixels that transformers would see.
  bool enlarge_small_print = true;

  SamplingParams sampling;
  int max_tokens = 8192;
  std::vector<std::string> stop;                                  // the text ends before the first of them
  std::optional<std::chrono::steady_clock::duration> time_limit;  // from submit; ends as `cancelled`
  // Called on the engine's thread for every token, and must not block. What it throws ends its own request.
  std::function<void(const TokenEvent&)> on_token;
};

struct Result {
  std::string text;
  FinishReason finish_reason = FinishReason::stop;
  std::vector<TokenId> tokens;  // all that were generated, the stop id included
  std::vector<float> logprobs;  // [tokens]
  double mean_logprob = 0;
  std::int64_t prompt_tokens = 0;  // image tokens included
  std::int64_t image_tokens = 0;
  std::int64_t completion_tokens = 0;
  std::vector<std::array<int, 3>> image_grid_thw;
  Timings timings;
};

struct EngineOptions {
  int max_sequences = 32;      // running at once; the others wait
  int prefill_chunk = 512;     // prompt rows a step
  std::int64_t kv_memory = 0;  // bytes for keys and values; 0: sized from the model and the memory there is
};

// Counters since the engine was made.
struct EngineStats {
  std::int64_t waiting = 0, running = 0, finished = 0, failed = 0, preemptions = 0;
  std::int64_t kv_bytes = 0, peak_kv_bytes = 0, peak_workspace_bytes = 0;
  std::int64_t patches = 0, prompt_tokens = 0, completion_tokens = 0;
  double vision_seconds = 0, prefill_seconds = 0, decode_seconds = 0;  // decode: steps that only decode
  double decode_tokens_per_second = 0;
  std::int64_t decode_steps = 0;  // in decode_seconds; each reads the decoder's weights once
};

// A submitted request. Cheap to copy; any thread.
class Job {
 public:
  // Waits for the end. Throws the Error the request failed with. A cancelled request returns what there is.
  Result wait() const;
  bool done() const;
  void cancel() const;
  // The next token of the stream, waiting for it; nothing when the request has ended and all were taken.
  std::optional<TokenEvent> next() const;

 private:
  friend class Engine;
  struct State;
  std::shared_ptr<State> state_;
};

// Reads many pictures at once over one model, on a thread of its own: continuous batching, prompts in chunks,
// keys and values in pages. A request that fails ends alone. One engine a model.
class Engine {
 public:
  explicit Engine(const Model& model, const EngineOptions& options = {});
  ~Engine();  // cancels what still runs
  Engine(Engine&&) noexcept;
  Engine& operator=(Engine&&) noexcept;

  // Any thread. Throws Error{input} for a picture or option that cannot be used (naming it and its range),
  // Error{memory} naming the size needed and the size there is when the request could never run.
  Job submit(std::vector<Image> images, const ReadOptions& options = {});

  EngineStats stats() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// One picture at a time, for those who do not need the engine's queue.
class Reader {
 public:
  explicit Reader(const Model& model) : engine_(model) {}
  Result read(const Image& image, Task task = Task::text) {
    ReadOptions options;
    options.task = task;
    return read(image, options);
  }
  Result read(const Image& image, const ReadOptions& options) {
    return engine_.submit({image}, options).wait();
  }

 private:
  Engine engine_;
};

}  // namespace glmocr
