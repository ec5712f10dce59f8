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
#include "glmocr/export.h"
#include "glmocr/image.h"
#include "glmocr/model.h"
#include "glmocr/types.h"

namespace glmocr {

// What to do with the pictures of one request.
struct ReadOptions {
  Task task = Task::text;
  std::string schema;                 // task extract: a JSON template whose values are empty strings
  std::optional<std::string> prompt;  // used instead of the task's prompt
  // Control tokens written in `prompt` are matched instead of being read as plain text.
  bool allow_control_tokens = false;

  // Enlarges pictures whose letters are smaller than enlarge_letters_below in the snapshot's
  // preprocessor_config.json (absent in the published one). Off: the pixels are those of transformers.
  bool enlarge_small_print = true;

  SamplingParams sampling;
  int max_tokens = 8192;
  // Ends a text that repeats itself over hundreds of tokens and more often than the pictures have room for. It keeps
  // as many repeats as they have room for; FinishReason::repetition. Without pictures there is no such bound.
  bool guard = true;
  std::vector<std::string> stop;  // the text ends before the first of them
  // Counted from the moment when the request is first admitted: waiting in the queue does not count, time after a
  // preemption does. A request that exceeds it ends with FinishReason::time_limit and the text so far.
  std::optional<std::chrono::steady_clock::duration> time_limit;
  // Called for every token, on the engine's thread of the device that reads the request; must not block. If it throws, its
  // own request ends with that error.
  std::function<void(const TokenEvent&)> on_token;
};

struct Result {
  std::string text;
  FinishReason finish_reason = FinishReason::stop;
  std::vector<TokenId> tokens;  // all that were generated, the stop id included; of a cut text those kept
  std::vector<float> logprobs;  // per token
  // FinishReason::repetition: the last characters that were streamed are not part of the text.
  std::int64_t void_characters = 0;
  double mean_logprob = 0;
  std::int64_t prompt_tokens = 0;  // image tokens included
  std::int64_t image_tokens = 0;
  std::int64_t completion_tokens = 0;
  std::vector<std::array<int, 3>> image_grid_thw;  // per picture: frames, rows and columns of patches
  Timings timings;
  std::string device;  // that it ended on, such as "cuda:0"; empty: it was cancelled before one began it
};

struct EngineOptions {
  int max_sequences = 32;  // requests that run at once on each device; the others wait
  int max_waiting = 256;   // requests that may wait
  // Bytes for keys and values on each device. 0: derived from the memory limit or free memory.
  std::int64_t kv_memory = 0;
  int page_size = 32;     // tokens per page of keys and values
  int prefill_chunk = 0;  // prompt rows per step; 0: what suits the device
  // Patches of the pictures that are encoded together; a larger picture is encoded alone. 0: what suits the device.
  std::int64_t vision_patches = 0;
  // Floating-point operations of vision in one step: a large picture is encoded in many, so that other requests go on
  // meanwhile. 0: what suits the device.
  double vision_flop = 0;
};

// What one device of an engine has done.
struct DeviceStats {
  std::string device;                                  // "cuda:0"
  bool lost = false;                                   // it does not work any more
  std::int64_t running = 0, finished = 0, failed = 0;  // requests
  std::int64_t patches = 0, completion_tokens = 0;
  std::int64_t peak_memory_bytes = 0;
};

// The engine's current state, and counters since it was made. With several devices these are sums over them, and peaks
// are those of the device with the highest.
struct EngineStats {
  std::int64_t waiting = 0, running = 0;  // requests
  std::int64_t finished = 0, failed = 0, preemptions = 0;

  std::int64_t total_pages = 0, free_pages = 0, peak_pages = 0;  // of keys and values; peak: most in use
  std::int64_t page_bytes = 0;
  std::int64_t peak_workspace_bytes = 0;  // of the device
  std::int64_t peak_memory_bytes = 0;     // of everything that LoadOptions::memory_limit counts

  std::int64_t steps = 0;
  std::int64_t patches = 0;            // encoded
  std::int64_t prompt_tokens = 0;      // rows of prompts, recomputed ones included
  std::int64_t completion_tokens = 0;  // generated
  std::int64_t decode_tokens = 0;      // of these, in steps that only decode
  std::int64_t decode_steps = 0;       // steps that only decode; each reads the decoder's weights once
  double vision_seconds = 0, prefill_seconds = 0;
  double decode_seconds = 0;  // of steps that only decode

  std::vector<DeviceStats> devices;  // in the order of LoadOptions::device
};

// What Job::next found within its time.
struct NextEvent {
  enum class Kind { event, timeout, end };
  Kind kind = Kind::end;
  TokenEvent event;  // only where kind is event
};

// A submitted request. Cheap to copy. Any thread may use it, even after the engine was destroyed.
class GLMOCR_API Job {
 public:
  // Waits for the end. Throws the Error that the request failed with. A cancelled request returns the text it
  // has so far.
  Result wait() const;
  bool done() const;
  void cancel() const;
  // Waits for the next token. nullopt once the request has ended and all events were taken. Each event is
  // returned once, to one caller.
  std::optional<TokenEvent> next() const;
  // The same, but waits no longer than `timeout`.
  NextEvent next(std::chrono::steady_clock::duration timeout) const;

 private:
  friend struct JobAccess;
  struct GLMOCR_LOCAL State;
  std::shared_ptr<State> state_;
};

// Reads many pictures at once with one model, on a thread of its own for each device: continuous batching, prompts in
// chunks, keys and values in pages. A request that fails does not affect the others. One engine per model.
//
// With several devices (LoadOptions::device) requests wait in one queue, from which each device takes the next when it can
// run it. A text does not depend on the device that reads it. When a device is lost, the others go on with what it had;
// when none is left, all requests fail with Error{device}, and so does submit.
class GLMOCR_API Engine {
 public:
  // Throws Error{usage} for options out of range and for a model that has an engine already, Error{memory}
  // naming the smallest memory limit that would do.
  explicit Engine(const Model& model, const EngineOptions& options = {});
  ~Engine();  // cancels what still runs
  Engine(Engine&&) noexcept;
  Engine& operator=(Engine&&) noexcept;

  // Any thread. The pictures are not needed after the call. Throws Error{input} for a picture or option that
  // cannot be used (naming it and its range), Error{memory} for a request that could never run (naming the
  // size needed and the size available), Error{busy} when max_waiting requests are already waiting or the
  // pictures of other requests fill the memory, Error{device} when every device is lost.
  Job submit(const std::vector<Image>& images, const ReadOptions& options = {});

  EngineStats stats() const;  // any thread

 private:
  friend struct EngineAccess;
  struct GLMOCR_LOCAL State;
  std::unique_ptr<State> state_;
};

// Reads one picture at a time, for callers who do not need the engine's queue.
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
