// SPDX-License-Identifier: Apache-2.0
#include "glmocr/model.h"

#include <filesystem>
#include <future>

#include "api/compute_type.h"
#include "api/default_path.h"
#include "api/device_list.h"
#include "api/load_limits.h"
#include "base/error.h"
#include "base/log.h"
#include "engine/admission.h"
#include "engine/model_state.h"
#include "kernels/kernels.h"
#include "store/hub_cache.h"

namespace glmocr {
namespace {

namespace fs = std::filesystem;

template <class Values>
std::string list(const Values& values) {
  return cat("[", join(values, ", "), "]");
}

std::vector<std::pair<std::string, std::string>> describe(const GlmOcrConfig& c) {
  const auto text = [](const auto& value) { return cat(value); };
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
          {"stop_token_ids", list(c.generation.eos_token_id)}};
}

// Calls body(0) … body(count - 1), at once. Throws what the first of them that failed threw.
template <class Body>
void in_parallel(std::size_t count, const Body& body) {
  std::vector<std::future<void>> others;
  for (std::size_t i = 1; i < count; ++i) others.push_back(std::async(std::launch::async, body, i));
  body(0);
  for (std::future<void>& other : others) other.get();
}

std::shared_ptr<ModelAccess::State> load_state(const fs::path& folder, const LoadOptions& options) {
  const std::vector<std::string> devices = split_device_list(options.device);
  auto state = std::make_shared<ModelAccess::State>();
  state->path = folder.string();
  state->replicas.resize(devices.size());
  in_parallel(devices.size(), [&](std::size_t i) {
    Replica& replica = state->replicas[i];
    replica.memory = std::make_shared<MemoryBudget>(options.memory_limit);
    replica.device = open_device(devices[i], {.threads = options.threads, .memory = replica.memory});
  });
  const Device& first = *state->replicas.front().device;
  const DType compute = compute_type(options.dtype, first);
  const Snapshot snapshot = Snapshot::open(folder);
  in_parallel(devices.size(), [&](std::size_t i) {
    Replica& replica = state->replicas[i];
    replica.network = GlmOcr::load(snapshot, *replica.device, compute, options.quantization);
    replica.memory_used = replica.memory->used();
  });
  for (const Replica& replica : state->replicas) {
    if (replica.device->isa() == first.isa()) continue;
    log(LogLevel::warning, cat(first.name(), " (", first.isa(), ") and ", replica.device->name(), " (",
                               replica.device->isa(), ") round differently: texts may depend on the device"));
  }
  return state;
}

// Called when not even the converted weights fit the limit: loads them without one, to name the smallest that
// would do.
[[noreturn]] void fail_with_least_limit(const fs::path& snapshot, LoadOptions options) {
  const std::int64_t limit = std::exchange(options.memory_limit, 0);
  options.device = split_device_list(options.device).front();
  const auto state = load_state(snapshot, options);
  engine::check_memory(state->network(), {}, limit, state->replicas.front().memory_used);
  fail(ErrorCode::internal, "a model that does not fit its memory limit fits it");
}

}  // namespace

Model Model::load(const std::string& path, const LoadOptions& options) {
  check_limits(options);
  const fs::path snapshot = resolve_snapshot(path);
  std::shared_ptr<State> state;
  try {
    state = load_state(snapshot, options);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::memory || options.memory_limit == 0) throw;
    fail_with_least_limit(snapshot, options);
  }
  for (const std::string& note : state->network().weights().notes) {
    log(LogLevel::info, state->path + ": " + note);
  }
  return ModelAccess::make(state);
}

std::vector<TokenId> Model::tokenize(const std::string& text, bool match_added_tokens) const {
  return state_->network().tokenizer().encode(text,
                                              match_added_tokens ? AddedTokens::match : AddedTokens::ignore);
}

std::string Model::detokenize(std::span<const TokenId> ids, bool skip_special) const {
  return state_->network().tokenizer().decode(ids, skip_special);
}

std::string Model::token_text(TokenId id) const { return state_->network().tokenizer().id_to_token(id); }

ModelInfo Model::info() const {
  const GlmOcr& network = state_->network();
  const Device& device = network.device();
  const GlmOcrConfig& config = network.config();
  ModelInfo info;
  info.path = state_->path;
  for (const Replica& replica : state_->replicas) info.devices.push_back(replica.device->name());
  info.device = join(info.devices, ",");
  info.isa = device.isa();
  info.dtype = network.compute() == DType::bf16 ? "bf16" : "fp32";
  info.threads = device.threads();
  info.config = describe(config);
  for (const TensorGroup& group : network.weights().groups) {
    info.tensors.push_back({group.name, group.tensors, group.parameters, group.bytes});
  }
  info.notes = network.weights().notes;
  info.vocabulary = network.tokenizer().size();
  info.added_tokens = std::ssize(network.tokenizer().added_tokens());
  info.copied_bytes = network.weights().copied_bytes;
  info.mapped_bytes = network.weights().mapped_bytes;
  const EngineOptions engine;
  info.memory = engine::memory_plan(network, engine, state_->replicas.front().memory_used);
  info.kv_bytes_per_token =
      network.device().kv_page_bytes(network.decoder().kv_spec(1, engine.page_size)) / engine.page_size;
  return info;
}

std::string default_model_path() { return default_path("model", "GLMOCR_MODEL", "mini"); }

std::vector<std::string> devices() { return available_devices(); }

std::string_view version() { return GLMOCR_VERSION; }

}  // namespace glmocr
