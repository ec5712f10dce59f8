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

#include "glmocr/export.h"
#include "glmocr/image.h"
#include "glmocr/types.h"

namespace glmocr {

// The type of activations. automatic: bf16 where the processor computes it faster than fp32, else fp32.
enum class ComputeType { automatic, fp32, bf16 };

struct LoadOptions {
  // One of devices(), "cuda:0", "cpu", "cpu:avx2", "ref", …; "auto": the first. For a Model also several of one kind, as
  // in "cuda:0,cuda:1": each gets the whole model, an Engine shares its requests out to all, and the functions of Model
  // use the first. LayoutModel, bench and selftest take one.
  std::string device = "cpu";
  ComputeType dtype = ComputeType::automatic;
  // int8: weights of products become eight bits when they are loaded; a snapshot may hold them so already.
  Quantization quantization = Quantization::none;
  int threads = 0;  // 0: as many as the process may use, CPU affinity and cgroup quota included
  // Bytes that the model and everything that runs on it may take, on each device: converted weights, keys and values,
  // picture features, workspace, pictures of waiting requests. Weights used where their file is mapped are not
  // counted. 0: no limit.
  std::int64_t memory_limit = 0;
};

// Receives an intermediate tensor of a forward pass, as fp32, under its name in docs/model.md (of a layout model: in
// docs/architecture.md).
using TensorSink = std::function<void(const std::string& name, std::span<const std::int64_t> shape,
                                      std::span<const float> values)>;

// The result of one forward pass: the logits of the last position.
struct GLMOCR_API Logits {
  std::vector<float> values;  // [vocab_size]
  std::int64_t prompt_tokens = 0;
  std::vector<std::array<int, 3>> image_grid_thw;  // per picture: frames, rows and columns of patches

  // The k largest, largest first; among equal ones the lowest id first.
  std::vector<std::pair<TokenId, float>> top(int k) const;
  double mean() const;
  double std() const;  // sample standard deviation (n − 1), as torch.std
};

struct TensorGroupInfo {
  std::string name;
  std::int64_t tensors = 0, parameters = 0, bytes = 0;
};

// How an engine with default options would divide the memory it may use on each device, in bytes.
struct MemoryPlan {
  std::int64_t limit = 0;            // LoadOptions::memory_limit; 0: none
  std::int64_t keys_and_values = 0;  // of all sequences
  std::int64_t context_tokens = 0;   // of the longest sequence, prompt and text
  std::int64_t step = 0;             // workspace of a step of the decoder
  // The largest picture that fits: pixels and features, what it and others hold half encoded, and workspace.
  std::int64_t picture = 0;
  std::int64_t picture_patches = 0;          // the patches of that picture
  std::int64_t largest_picture_patches = 0;  // of the largest picture that the model accepts
};

// What `glm-ocr info` shows.
struct ModelInfo {
  std::string path;
  // Of several devices: "cuda:0,cuda:1", and isa and dtype of the first.
  std::string device, isa, dtype;
  std::vector<std::string> devices;  // their names
  int threads = 0;
  std::vector<std::pair<std::string, std::string>> config;  // name and value, in order
  std::vector<TensorGroupInfo> tensors;
  std::vector<std::string> notes;  // such as matrices that were converted, a draft layer left unused
  int vocabulary = 0;              // tokens of the tokenizer
  int added_tokens = 0;
  std::int64_t mapped_bytes = 0;  // weights used where their file is mapped
  std::int64_t copied_bytes = 0;  // weights held in memory of the process
  std::int64_t kv_bytes_per_token = 0;
  MemoryPlan memory;
};

// A loaded snapshot on a device. Cheap to copy: copies share it. Its functions may be called from any thread.
// forward runs one call at a time and throws Error{usage} while an Engine uses the model.
class GLMOCR_API Model {
 public:
  // `path`: a snapshot folder, or a hub name such as "zai-org/GLM-OCR", which is looked up in the local
  // Hugging Face cache (HF_HUB_CACHE, HF_HOME, ~/.cache/huggingface/hub). Throws Error{model} naming file,
  // key or tensor, Error{device}, Error{memory}, and Error{usage} for options out of range.
  static Model load(const std::string& path, const LoadOptions& options = {});

  // One deterministic pass over the prompt, without decoding: the pictures first, then `text`, in the chat
  // template. Small print is not enlarged: the pixels are those of transformers. Throws Error{input} for a
  // picture that cannot be used or a prompt longer than the context, Error{memory}.
  Logits forward(std::span<const Image> images, const std::string& text, const TensorSink& sink = {}) const;

  // The ids of a text. Control tokens written in it are plain text unless `match_added_tokens`. Throws
  // Error{input} where the text is not UTF-8.
  std::vector<TokenId> tokenize(const std::string& text, bool match_added_tokens = false) const;
  // The text of these ids: always UTF-8, with U+FFFD for what is none. Ids without a token are left out, and with
  // `skip_special` so are control tokens.
  std::string detokenize(std::span<const TokenId> ids, bool skip_special = true) const;
  std::string token_text(TokenId id) const;  // as the vocabulary spells it; "" for an id without a token

  // Throws Error{memory} when no engine could run within the memory limit.
  ModelInfo info() const;

 private:
  friend struct ModelAccess;
  struct GLMOCR_LOCAL State;
  explicit Model(std::shared_ptr<State> state) : state_(std::move(state)) {}
  std::shared_ptr<State> state_;
};

// The model to use when none is named: GLMOCR_MODEL, else the embedded one, share/glm-ocr/models/mini next to
// the folder (bin, lib) of this library or of the running program. Throws Error{model} naming every place
// that was searched.
GLMOCR_API std::string default_model_path();

// The names that LoadOptions::device accepts on this machine, best first.
GLMOCR_API std::vector<std::string> devices();

GLMOCR_API std::string_view version();  // "0.1.0"

}  // namespace glmocr
