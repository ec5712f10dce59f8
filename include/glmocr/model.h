// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "glmocr/image.h"
#include "glmocr/types.h"

namespace glmocr {

// The type of activations. automatic: bf16 where the processor computes it faster than fp32, else fp32.
enum class ComputeType { automatic, fp32, bf16 };

struct LoadOptions {
  std::string device = "cpu";  // "cpu", "cpu:avx2", "ref", … (devices())
  ComputeType dtype = ComputeType::automatic;
  int threads = 0;                // 0: what the process may use, cgroup limit included
  std::int64_t memory_limit = 0;  // bytes over the mapped weights; 0: no limit
};

// What a picture's place in a prompt is asked for.
enum class Task { text, table, formula, extract };

// The published prompt of a task; for extract followed by a newline and `schema`, a JSON template with empty
// strings. Throws Error{input} when a schema is missing or is no JSON.
std::string task_prompt(Task task, const std::string& schema = "");

// Sees an intermediate tensor of a forward pass under its name in docs/model.md, as fp32.
using TensorSink = std::function<void(const std::string& name, std::span<const std::int64_t> shape,
                                      std::span<const float> values)>;

// The answer of one forward pass: logits of the last position.
struct Logits {
  std::vector<float> values;  // [vocab_size]
  std::int64_t prompt_tokens = 0;
  std::vector<std::array<int, 3>> image_grid_thw;  // one a picture: frames, rows and columns of patches

  std::vector<std::pair<TokenId, float>> top(
      int k) const;  // the k largest, largest first, lowest id among equals
  double mean() const;
  double std() const;  // sample deviation (n − 1), as torch's
};

struct TensorGroupInfo {
  std::string name;
  std::int64_t tensors = 0, parameters = 0, bytes = 0;
};

// What `glm-ocr info` shows.
struct ModelInfo {
  std::string path, device, isa, dtype;
  int threads = 0;
  std::vector<std::pair<std::string, std::string>> config;  // name and value, in order
  std::vector<TensorGroupInfo> tensors;
  std::vector<std::string> notes;  // a draft layer kept aside, matrices converted
  int vocabulary = 0;              // tokens of the tokenizer
  int added_tokens = 0;
  std::int64_t mapped_bytes = 0;  // weights used where the file lies
  std::int64_t copied_bytes = 0;  // weights held in memory of our own
  std::int64_t kv_bytes_per_token = 0;
  std::int64_t max_image_patches = 0;  // of the largest picture the preprocessor lets through
  std::int64_t max_image_tokens = 0;
  std::int64_t max_image_workspace = 0;  // bytes while such a picture is encoded
};

// A loaded snapshot on a device. Cheap to copy: copies share it. Const functions may be called from any
// thread, one at a time runs; while an Engine uses the model, forward throws Error{usage}.
class Model {
 public:
  // `path`: a snapshot folder, or a hub name such as "zai-org/GLM-OCR" that is looked up in the local Hugging
  // Face cache (HF_HUB_CACHE, HF_HOME, ~/.cache/huggingface/hub). Throws Error{model} naming file, key or
  // tensor, or Error{device}, Error{memory}.
  static Model load(const std::string& path, const LoadOptions& options = {});

  // One deterministic pass over the prompt, no decoding: pictures first, then `text` in the chat template.
  // Small print is not enlarged: transformers' pixels.
  Logits forward(std::span<const Image> images, const std::string& text, const TensorSink& sink = {}) const;

  // Ids of a text. Control tokens written in it are plain text unless `match_added_tokens`.
  std::vector<TokenId> tokenize(const std::string& text, bool match_added_tokens = false) const;
  std::string detokenize(std::span<const TokenId> ids, bool skip_special = true) const;
  std::string token_text(TokenId id) const;  // one token's own spelling; "" for an id without one

  ModelInfo info() const;

  struct State;  // inside the library
  const std::shared_ptr<State>& state() const { return state_; }

 private:
  explicit Model(std::shared_ptr<State> state) : state_(std::move(state)) {}
  std::shared_ptr<State> state_;
};

// The embedded default: GLMOCR_MODEL, else <folder of the running program>/../share/glm-ocr/models/mini.
// Throws Error{model} naming where it looked.
std::string default_model_path();

// Names that LoadOptions::device accepts on this machine, best first.
std::vector<std::string> devices();

std::string_view version();  // "0.1.0"

}  // namespace glmocr
