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
  check_option("page_size", options.page_size, 1);
  check_option("max_sequences", options.max_sequences, 1);
  check_option("max_waiting", options.max_waiting, 1);
  check_option("prefill_chunk", options.prefill_chunk, 0);
  check_option("vision_patches", options.vision_patches, 0);
  if (!(options.vision_flop >= 0)) {
    fail(ErrorCode::usage, cat("engine option vision_flop is ", options.vision_flop, ", expected 0 or more"));
  }
}

// The smallest prefill_chunk that a memory limit may lead to: slow, but it works.
constexpr int kLeastChunk = 32;
// Tokens for the prompt of the smallest picture, with some output.
constexpr std::int64_t kLeastContext = 128;

// Beside a picture of the largest size, smaller ones may be half encoded.
std::int64_t with_others(std::int64_t patches) { return patches + patches / 4; }

// Memory of the parts of an engine, in bytes.
class Sizes {
 public:
  Sizes(const GlmOcr& model, const EngineOptions& options) : model_(model), options_(options) {}

  std::int64_t page() const {
    return model_.device().kv_page_bytes(model_.decoder().kv_spec(1, options_.page_size));
  }
  // Of a small square: smart_resize rounds its sides up to whole blocks.
  std::int64_t least_patches() const {
    const PreprocessConfig& p = model_.config().preprocess;
    const ImageSize size = smart_resize(1, 1, p);
    return std::int64_t{size.height} * size.width / (p.patch_size * p.patch_size);
  }
  std::int64_t most_patches() const {
    const PreprocessConfig& p = model_.config().preprocess;
    return std::max<std::int64_t>(p.longest_edge / p.temporal_patch_size / (p.patch_size * p.patch_size),
                                  p.merge_size * p.merge_size);
  }

  // The decoder's tables, and its workspace.
  std::int64_t tables(const EngineOptions& plan, std::int64_t context) const {
    const EngineLimits limits{.context = context, .plan = plan};
    return StepRunner::table_bytes(model_, limits.step(), options_.page_size);
  }
  std::int64_t step(const EngineOptions& plan) const {
    const std::int64_t few = std::int64_t{plan.max_sequences} * kFewRows;
    return std::max(model_.decoder().workspace_bytes(plan.prefill_chunk, plan.max_sequences),
                    model_.decoder().workspace_bytes(few, plan.max_sequences));
  }
  // For a picture of this many patches: the workspace of the steps that encode it, what it holds between them, and
  // its pixels and features.
  std::int64_t vision(std::int64_t patches) const { return model_.vision().workspace_bytes(patches); }
  std::int64_t encoding(std::int64_t patches) const { return model_.vision().held_bytes(patches); }
  std::int64_t held(std::int64_t patches) const {
    const PreprocessConfig& p = model_.config().preprocess;
    return patches * 3 * p.patch_size * p.patch_size +
           feature_bytes(model_, patches / (p.merge_size * p.merge_size));
  }
  std::int64_t picture(std::int64_t patches) const {
    return vision(patches) + encoding(with_others(patches)) + held(patches);
  }

 private:
  const GlmOcr& model_;
  const EngineOptions& options_;
};

// The options, with zeros replaced by what suits the device.
EngineOptions resolved(const GlmOcr& model, const EngineOptions& options) {
  const StepSizes sizes = model.device().step_sizes();
  EngineOptions plan = options;
  if (plan.prefill_chunk == 0) plan.prefill_chunk = sizes.prefill_rows;
  if (plan.vision_patches == 0) plan.vision_patches = sizes.vision_patches;
  if (plan.vision_flop == 0) plan.vision_flop = sizes.vision_flop;
  return plan;
}

// Pages for the sequences that run together, or as many as fit into kv_memory.
std::int64_t wanted_pages(const EngineOptions& options, std::int64_t page_bytes) {
  if (options.kv_memory == 0) {
    return pages_for(std::max<std::int64_t>(16384, std::int64_t{1024} * options.max_sequences),
                     options.page_size);
  }
  const std::int64_t pages = options.kv_memory / page_bytes;
  if (pages == 0) {
    fail(ErrorCode::memory, cat("kv_memory is ", size_text(options.kv_memory), "; one page of ",
                                options.page_size, " tokens takes ", size_text(page_bytes)));
  }
  // Slots are numbered in 32 bits.
  return std::min<std::int64_t>(pages, std::numeric_limits<std::int32_t>::max() / options.page_size);
}

std::int64_t context_of(const GlmOcr& model, std::int64_t pages, int page_size) {
  return std::min<std::int64_t>(model.config().text.max_position_embeddings, pages * page_size);
}

// Without a limit: at most half of the available memory. The system commits only the pages that are written.
std::int64_t pages_without_limit(const EngineOptions& options, std::int64_t page_bytes) {
  const std::int64_t pages = wanted_pages(options, page_bytes), available = available_memory();
  if (options.kv_memory > 0 || available == 0) return pages;
  return std::clamp<std::int64_t>(available / 2 / page_bytes, 1, pages);
}

// The smallest engine: steps of one sequence with small chunks, and a context for the smallest picture.
struct Least {
  EngineOptions plan;
  std::int64_t pages = 0;
};

Least least_of(const EngineOptions& plan, const EngineOptions& options, std::int64_t page_bytes) {
  Least least{.plan = plan};
  least.plan.max_sequences = 1;
  least.plan.prefill_chunk = std::min(plan.prefill_chunk, kLeastChunk);
  least.pages = std::min(pages_for(kLeastContext, options.page_size), wanted_pages(options, page_bytes));
  return least;
}

// Divides the memory under a limit: up to two fifths for keys and values, a quarter for steps (both at least
// what Least needs, and less where the smallest picture would not fit), the rest for pictures: the workspace
// of the largest that fits, what it and smaller ones beside it hold while they are encoded, and the pixels and features
// of all.
void share_out(const GlmOcr& model, const EngineOptions& options, std::int64_t used, EngineLimits& limits) {
  const std::int64_t limit = model.device().memory()->limit(), all = limit - used;
  check_memory(model, options, limit, used);
  limits.scratch = all / kScratchShare;
  const std::int64_t left = all - limits.scratch;
  const Sizes sizes(model, options);
  EngineOptions& plan = limits.plan;
  const Least least = least_of(plan, options, limits.page_bytes);

  const auto tables = [&] { return sizes.tables(plan, context_of(model, limits.pages, options.page_size)); };
  const auto rest = [&] { return left - limits.pages * limits.page_bytes - tables(); };
  const auto takes = [&](std::int64_t patches) {
    return std::max(sizes.step(plan), sizes.vision(patches)) + sizes.encoding(with_others(patches)) +
           sizes.held(patches);
  };
  const auto shrink_chunk = [&](EngineOptions& step) {
    step.prefill_chunk = std::max(step.prefill_chunk / 2, least.plan.prefill_chunk);
  };
  const auto shrink_step = [&] {
    if (plan.max_sequences > 1) {
      plan.max_sequences /= 2;
    } else {
      GLMOCR_CHECK(plan.prefill_chunk > least.plan.prefill_chunk);
      shrink_chunk(plan);
    }
  };
  limits.pages =
      std::clamp(2 * left / 5 / limits.page_bytes, least.pages, wanted_pages(options, limits.page_bytes));
  // The chunk is chosen for one sequence, so that results do not depend on how many may run together.
  EngineOptions alone = plan;
  alone.max_sequences = 1;
  while (alone.prefill_chunk > least.plan.prefill_chunk &&
         sizes.step(alone) + sizes.tables(alone, kLeastContext) > left / 4) {
    shrink_chunk(alone);
  }
  plan.prefill_chunk = alone.prefill_chunk;
  while (plan.max_sequences > 1 && sizes.step(plan) + tables() > left / 4) shrink_step();
  while (takes(sizes.least_patches()) > rest()) {
    if (limits.pages > least.pages) {
      limits.pages = std::max(limits.pages / 2, least.pages);
    } else {
      shrink_step();
    }
  }

  std::int64_t fits = sizes.least_patches(), too_many = sizes.most_patches() + 1;
  while (fits + 1 < too_many) {
    const std::int64_t middle = (fits + too_many) / 2;
    (takes(middle) <= rest() ? fits : too_many) = middle;
  }
  limits.workspace = std::max(sizes.step(plan), sizes.vision(fits));
  limits.picture_patches = fits;
  limits.encoding_patches = with_others(fits);
  limits.pictures = rest() - limits.workspace - sizes.encoding(limits.encoding_patches);
  plan.vision_patches = std::min(plan.vision_patches, fits);
}

void check_ids(const char* what, const std::vector<TokenId>& ids, int vocab_size) {
  for (const TokenId id : ids) {
    if (id < 0 || id >= vocab_size) {
      fail(ErrorCode::input, cat(what, " contains the token id ", id, ", expected 0 to ", vocab_size - 1));
    }
  }
}

void check_pictures(const Request& request, const GlmOcr& model, const EngineLimits& limits) {
  std::int64_t tokens = 0;
  for (std::int64_t i = 0; i < std::ssize(request.images); ++i) {
    const GridTHW& grid = request.images[i].grid;
    tokens += grid.tokens(model.config().preprocess.merge_size);
    if (limits.picture_patches > 0 && grid.patches() > limits.picture_patches) {
      const VisionEncoder& vision = model.vision();
      const auto needed = [&](std::int64_t patches) {
        return size_text(vision.held_bytes(patches) + vision.workspace_bytes(patches));
      };
      fail(ErrorCode::memory,
           cat("picture ", i + 1, " of ", grid.patches(), " patches needs ", needed(grid.patches()),
               " to be encoded; the memory limit leaves ", needed(limits.picture_patches)));
    }
  }
  if (const std::int64_t held = picture_bytes(model, request);
      limits.pictures > 0 && held > limits.pictures) {
    fail(ErrorCode::memory, cat("the pictures of the request take ", size_text(held),
                                "; the memory limit leaves ", size_text(limits.pictures)));
  }
  const Prompt& prompt = request.prompt;
  const std::int64_t in_prompt =
      std::count(prompt.ids.begin(), prompt.ids.end(), model.config().image_token_id);
  if (tokens != in_prompt || tokens != prompt.image_tokens) {
    fail(ErrorCode::input,
         cat("the prompt contains ", in_prompt, " image tokens and declares ", prompt.image_tokens, "; its ",
             request.images.size(), " pictures make ", tokens));
  }
}

void check_prompt(const Request& request, const GlmOcr& model, const EngineLimits& limits) {
  const Prompt& prompt = request.prompt;
  const std::int64_t tokens = std::ssize(prompt.ids);
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
    fail(ErrorCode::memory,
         cat("the prompt has ", tokens, " tokens; with one more it needs ", size_text(needed),
             " for keys and values; there are ", size_text(limits.pages * limits.page_bytes), " (",
             limits.context, " tokens)"));
  }
}

}  // namespace

void check_memory(const GlmOcr& model, const EngineOptions& options, std::int64_t limit, std::int64_t used) {
  const Sizes sizes(model, options);
  const Least least = least_of(resolved(model, options), options, sizes.page());
  const std::int64_t needed = used + least.pages * sizes.page() + sizes.tables(least.plan, kLeastContext) +
                              std::max(sizes.step(least.plan), sizes.vision(sizes.least_patches())) +
                              sizes.encoding(with_others(sizes.least_patches())) +
                              sizes.held(sizes.least_patches());
  if (needed + (limit - used) / kScratchShare > limit) {
    fail_limit_too_small(limit, used + (needed - used) * kScratchShare / (kScratchShare - 1) + 1,
                         "this model");
  }
}

EngineLimits engine_limits(const GlmOcr& model, const EngineOptions& options, std::int64_t used) {
  check_options(options);
  EngineLimits limits;
  limits.page_bytes = Sizes(model, options).page();
  limits.plan = resolved(model, options);
  if (model.device().memory()->limit() > 0) {
    share_out(model, options, used, limits);
  } else {
    limits.pages = pages_without_limit(options, limits.page_bytes);
  }
  limits.context = context_of(model, limits.pages, options.page_size);
  return limits;
}

MemoryPlan memory_plan(const GlmOcr& model, const EngineOptions& options, std::int64_t used) {
  const EngineLimits limits = engine_limits(model, options, used);
  const Sizes sizes(model, options);
  MemoryPlan plan;
  plan.limit = model.device().memory()->limit();
  plan.keys_and_values = limits.pages * limits.page_bytes;
  plan.context_tokens = limits.context;
  plan.step = sizes.step(limits.plan) + sizes.tables(limits.plan, limits.context);
  plan.largest_picture_patches = sizes.most_patches();
  plan.picture_patches = plan.largest_picture_patches;
  if (limits.picture_patches > 0) plan.picture_patches = limits.picture_patches;
  plan.picture = sizes.picture(plan.picture_patches);
  return plan;
}

std::int64_t picture_bytes(const GlmOcr& model, const Request& request) {
  std::int64_t bytes = feature_bytes(model, request.prompt.image_tokens);
  for (const PreprocessedImage& image : request.images) bytes += std::ssize(image.resized.rgb);
  return bytes;
}

void check_request(const Request& request, const GlmOcr& model, const EngineLimits& limits) {
  Sampler::check(request.options.sampling);
  OutputText::check(request.options.stop);
  check_ids("the list of stop ids", request.stop_ids, model.config().text.vocab_size);
  if (request.options.max_tokens < 1) {
    fail(ErrorCode::input, cat("max_tokens is ", request.options.max_tokens, ", expected 1 or more"));
  }
  check_pictures(request, model, limits);
  check_prompt(request, model, limits);
}

}  // namespace glmocr::engine
