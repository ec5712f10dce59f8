// SPDX-License-Identifier: Apache-2.0
#include "glmocr/model.h"

#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "api/model_state.h"
#include "base/json.h"
#include "base/log.h"
#include "engine/kv_cache.h"
#include "kernels/kernels.h"
#include "store/hub_cache.h"

namespace glmocr {
namespace {

namespace fs = std::filesystem;

DType compute_type(ComputeType wanted, const Device& device) {
  if (wanted == ComputeType::automatic) return device.prefers_bf16() ? DType::bf16 : DType::f32;
  return wanted == ComputeType::bf16 ? DType::bf16 : DType::f32;
}

std::string list(std::span<const int> values) {
  std::string text;
  for (const int value : values) text += cat(text.empty() ? "" : ", ", value);
  return "[" + text + "]";
}

std::vector<std::pair<std::string, std::string>> describe(const GlmOcrConfig& c) {
  const auto text = [](const auto& value) { return cat(value); };
  std::vector<int> stops(c.generation.eos_token_id.begin(), c.generation.eos_token_id.end());
  return {{"text.vocab_size", text(c.text.vocab_size)},
          {"text.hidden_size", text(c.text.hidden_size)},
          {"text.num_hidden_layers", text(c.text.num_hidden_layers)},
          {"text.num_attention_heads", text(c.text.num_attention_heads)},
          {"text.num_key_value_heads", text(c.text.num_key_value_heads)},
          {"text.head_dim", text(c.text.head_dim)},
          {"text.intermediate_size", text(c.text.intermediate_size)},
          {"text.max_position_embeddings", text(c.text.max_position_embeddings)},
          {"text.rope_theta", text(c.text.rope_theta)},
          {"text.mrope_section", list(c.text.mrope_section)},
          {"vision.hidden_size", text(c.vision.hidden_size)},
          {"vision.depth", text(c.vision.depth)},
          {"vision.num_heads", text(c.vision.num_heads)},
          {"vision.head_dim", text(c.vision.head_dim())},
          {"vision.intermediate_size", text(c.vision.intermediate_size)},
          {"vision.out_hidden_size", text(c.vision.out_hidden_size)},
          {"vision.patch_size", text(c.vision.patch_size)},
          {"preprocess.shortest_edge", text(c.preprocess.shortest_edge)},
          {"preprocess.longest_edge", text(c.preprocess.longest_edge)},
          {"preprocess.enlarge_letters_below", text(c.preprocess.enlarge_letters_below)},
          {"stop_token_ids", list(stops)}};
}

}  // namespace

Model Model::load(const std::string& path, const LoadOptions& options) {
  if (options.threads < 0)
    fail(ErrorCode::usage, cat("threads is ", options.threads, ", expected 0 or more"));
  const auto state = std::make_shared<State>();
  const fs::path snapshot = resolve_snapshot(path);
  state->path = snapshot.string();
  state->memory_limit = options.memory_limit;
  state->device =
      open_device(options.device, {.threads = options.threads, .memory_limit = options.memory_limit});
  const DType compute = compute_type(options.dtype, *state->device);
  state->network = GlmOcr::load(snapshot, *state->device, compute);
  for (const std::string& note : state->network->weights().notes)
    log(LogLevel::info, state->path + ": " + note);
  return Model(state);
}

std::vector<TokenId> Model::tokenize(const std::string& text, bool match_added_tokens) const {
  return state_->network->tokenizer().encode(text,
                                             match_added_tokens ? AddedTokens::match : AddedTokens::ignore);
}

std::string Model::detokenize(std::span<const TokenId> ids, bool skip_special) const {
  return state_->network->tokenizer().decode(ids, skip_special);
}

std::string Model::token_text(TokenId id) const { return state_->network->tokenizer().id_to_token(id); }

ModelInfo Model::info() const {
  const GlmOcr& network = *state_->network;
  const GlmOcrConfig& config = network.config();
  ModelInfo info;
  info.path = state_->path;
  info.device = state_->device->name();
  info.isa = state_->device->isa();
  info.dtype = network.compute() == DType::bf16 ? "bf16" : "fp32";
  info.threads = state_->device->threads();
  info.config = describe(config);
  std::int64_t stored = 0;
  for (const TensorGroup& group : network.weights().groups) {
    info.tensors.push_back({group.name, group.tensors, group.parameters, group.bytes});
    if (group.name != "mtp") stored += group.bytes;
  }
  info.notes = network.weights().notes;
  info.vocabulary = network.tokenizer().size();
  info.added_tokens = static_cast<int>(network.tokenizer().added_tokens().size());
  info.copied_bytes = network.weights().copied_bytes;
  info.mapped_bytes = std::max<std::int64_t>(0, stored - info.copied_bytes);
  info.kv_bytes_per_token = engine::KvCache::bytes_per_token(config.text, network.compute());
  const PreprocessConfig& p = config.preprocess;
  info.max_image_patches = p.longest_edge / p.temporal_patch_size / (p.patch_size * p.patch_size);
  info.max_image_tokens = info.max_image_patches / (p.merge_size * p.merge_size);
  info.max_image_workspace = network.vision().workspace_bytes(info.max_image_patches, network.compute());
  return info;
}

std::string task_prompt(Task task, const std::string& schema) {
  switch (task) {
    case Task::text:
      return kTextPrompt;
    case Task::table:
      return kTablePrompt;
    case Task::formula:
      return kFormulaPrompt;
    case Task::extract:
      break;
  }
  if (schema.empty())
    fail(ErrorCode::input, "task extract needs a schema: a JSON template with empty strings");
  parse_json(schema, "schema", ErrorCode::input);
  return cat(kExtractPrompt, "\n", schema);
}

std::string default_model_path() {
  if (const char* path = std::getenv("GLMOCR_MODEL"); path && *path) return path;
  std::error_code error;
  const fs::path program = fs::read_symlink("/proc/self/exe", error);
  const fs::path model = program.parent_path().parent_path() / "share" / "glm-ocr" / "models" / "mini";
  if (!error && fs::exists(model / "config.json", error)) return model.string();
  fail(ErrorCode::model,
       cat("no model given: GLMOCR_MODEL is not set and ", model.string(), " does not exist"));
}

std::vector<std::string> devices() { return available_devices(); }

std::string_view version() { return GLMOCR_VERSION; }

}  // namespace glmocr
