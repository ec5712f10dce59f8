// SPDX-License-Identifier: Apache-2.0
#include "engine/admission.h"

#include <algorithm>
#include <limits>

#include "base/memory.h"
#include "engine/kv_cache.h"
#include "engine/sampler.h"
#include "engine/stop.h"

namespace glmocr::engine {
namespace {

void check_option(const char* name, std::int64_t value, std::int64_t least) {
  if (value < least)
    fail(ErrorCode::usage, cat("engine option ", name, " is ", value, ", expected ", least, " or more"));
}

void check_options(const EngineOptions& options) {
  check_option("kv_memory", options.kv_memory, 0);
  check_option("workspace_memory", options.workspace_memory, 0);
  check_option("page_size", options.page_size, 1);
  check_option("max_sequences", options.max_sequences, 1);
  check_option("prefill_chunk", options.prefill_chunk, 1);
  check_option("vision_patches", options.vision_patches, 1);
}

std::int64_t pool_pages(const EngineOptions& options, std::int64_t page_bytes) {
  if (options.kv_memory == 0) {
    const std::int64_t tokens = std::max<std::int64_t>(16384, std::int64_t{1024} * options.max_sequences);
    const std::int64_t pages = pages_for(tokens, options.page_size), available = available_memory();
    return available > 0 ? std::clamp<std::int64_t>(available / 2 / page_bytes, 1, pages) : pages;
  }
  const std::int64_t pages = options.kv_memory / page_bytes;
  if (pages == 0) {
    fail(ErrorCode::memory, cat("the memory for keys and values is ", options.kv_memory,
                                " bytes, one page of ", options.page_size, " tokens takes ", page_bytes));
  }
  // Slots are numbered in 32 bits.
  return std::min<std::int64_t>(pages, std::numeric_limits<std::int32_t>::max() / options.page_size);
}

std::int64_t decoder_workspace(const GlmOcr& model, const PlanLimits& plan) {
  return model.decoder().workspace_bytes(plan.prefill_chunk + plan.max_sequences, plan.max_sequences);
}

// Makes steps smaller until they fit the workspace.
void fit_workspace(const GlmOcr& model, std::int64_t workspace, PlanLimits& plan) {
  if (workspace == 0) return;
  while (plan.prefill_chunk > 1 && decoder_workspace(model, plan) > workspace) plan.prefill_chunk /= 2;
  while (plan.max_sequences > 1 && decoder_workspace(model, plan) > workspace) plan.max_sequences /= 2;
  if (const std::int64_t needed = decoder_workspace(model, plan); needed > workspace) {
    fail(ErrorCode::memory,
         cat("a step of the decoder needs at least ", needed, " bytes, the workspace is ", workspace));
  }
  while (plan.vision_patches > 1 &&
         model.vision().workspace_bytes(plan.vision_patches, model.compute()) > workspace) {
    plan.vision_patches /= 2;
  }
}

void check_ids(const char* what, const std::vector<TokenId>& ids, int vocab_size) {
  for (const TokenId id : ids) {
    if (id < 0 || id >= vocab_size) {
      fail(ErrorCode::input, cat(what, " holds the token id ", id, ", expected 0 to ", vocab_size - 1));
    }
  }
}

void check_pictures(const Request& request, const GlmOcr& model, const EngineLimits& limits) {
  std::int64_t tokens = 0;
  for (std::size_t i = 0; i < request.images.size(); ++i) {
    const GridTHW& grid = request.images[i].grid;
    tokens += grid.tokens(model.config().preprocess.merge_size);
    const std::int64_t needed = model.vision().workspace_bytes(grid.patches(), model.compute());
    if (limits.workspace > 0 && needed > limits.workspace) {
      fail(ErrorCode::memory, cat("picture ", i, " of ", grid.patches(), " patches needs ", needed,
                                  " bytes to be encoded, the workspace is ", limits.workspace));
    }
  }
  const Prompt& prompt = request.prompt;
  const std::int64_t in_prompt =
      std::count(prompt.ids.begin(), prompt.ids.end(), model.config().image_token_id);
  if (tokens != in_prompt || tokens != prompt.image_tokens) {
    fail(ErrorCode::input, cat("the prompt holds ", in_prompt, " image tokens and says ", prompt.image_tokens,
                               ", its ", request.images.size(), " pictures make ", tokens));
  }
}

void check_prompt(const Request& request, const GlmOcr& model, const EngineLimits& limits) {
  const Prompt& prompt = request.prompt;
  const auto tokens = std::ssize(prompt.ids);
  if (tokens == 0) fail(ErrorCode::input, "the prompt is empty");
  check_ids("the prompt", prompt.ids, model.config().text.vocab_size);
  if (prompt.positions.size() != tokens) {
    fail(ErrorCode::input,
         cat("the prompt has ", tokens, " tokens and ", prompt.positions.size(), " positions"));
  }
  const int context = model.config().text.max_position_embeddings;
  if (tokens + 1 > context) {
    fail(ErrorCode::input,
         cat("the prompt has ", tokens, " tokens and needs room for one more, the model's context is ",
             context, " tokens (max_position_embeddings)"));
  }
  if (tokens + 1 > limits.context) {
    const std::int64_t needed = pages_for(tokens + 1, limits.plan.page_size) * limits.page_bytes;
    fail(ErrorCode::memory, cat("the prompt has ", tokens, " tokens; with one more it needs ", needed,
                                " bytes for keys and values, there are ", limits.pages * limits.page_bytes,
                                " (", limits.context, " tokens)"));
  }
}

}  // namespace

EngineLimits engine_limits(const GlmOcr& model, const EngineOptions& options) {
  check_options(options);
  const TextConfig& text = model.config().text;
  EngineLimits limits;
  limits.page_bytes = options.page_size * KvCache::bytes_per_token(text, model.compute());
  limits.pages = pool_pages(options, limits.page_bytes);
  limits.context = std::min<std::int64_t>(text.max_position_embeddings, limits.pages * options.page_size);
  limits.workspace = options.workspace_memory;
  limits.plan = {.page_size = options.page_size,
                 .max_sequences = options.max_sequences,
                 .prefill_chunk = options.prefill_chunk,
                 .vision_patches = options.vision_patches};
  fit_workspace(model, limits.workspace, limits.plan);
  return limits;
}

void check_request(const Request& request, const GlmOcr& model, const EngineLimits& limits) {
  Sampler::check(request.sampling);
  OutputText::check(request.stop);
  check_ids("the list of stop ids", request.stop_ids, model.config().text.vocab_size);
  if (request.max_tokens < 1) {
    fail(ErrorCode::input, cat("max_tokens is ", request.max_tokens, ", expected 1 or more"));
  }
  check_prompt(request, model, limits);
  check_pictures(request, model, limits);
}

}  // namespace glmocr::engine
