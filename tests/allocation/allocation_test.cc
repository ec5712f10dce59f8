// SPDX-License-Identifier: Apache-2.0
// A decode step like the previous one takes no memory from the system. A program of its own, because it replaces the
// allocator: every malloc and operator new of any thread is counted between two marks.
#include <gtest/gtest.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <new>

#include "engine/step_runner.h"
#include "kernels/kernels.h"

namespace {
std::atomic<bool> counting = false;
std::atomic<std::int64_t> allocations = 0;

void count() {
  if (counting) ++allocations;
}
}  // namespace

// operator new calls malloc. The names with two underscores are those of the C library's own functions.
extern "C" {
void* __libc_malloc(std::size_t size);
void* __libc_calloc(std::size_t count, std::size_t size);
void* __libc_realloc(void* memory, std::size_t size);
void* __libc_memalign(std::size_t alignment, std::size_t size);

void* malloc(std::size_t size) {
  count();
  return __libc_malloc(size);
}
void* calloc(std::size_t number, std::size_t size) {
  count();
  return __libc_calloc(number, size);
}
void* realloc(void* memory, std::size_t size) {
  count();
  return __libc_realloc(memory, size);
}
void* aligned_alloc(std::size_t alignment, std::size_t size) {
  count();
  return __libc_memalign(alignment, size);
}
int posix_memalign(void** memory, std::size_t alignment, std::size_t size) {
  count();
  *memory = __libc_memalign(alignment, size);
  return *memory ? 0 : ENOMEM;
}
}

namespace glmocr::engine {
namespace {

TEST(Allocations, TheCounterCounts) {
  counting = true;
  const std::unique_ptr<int> number(new int(1));
  std::free(std::malloc(10));
  counting = false;
  EXPECT_EQ(allocations.exchange(0), 2);
}

struct Case {
  const char* name;
  SamplingParams sampling;
  DType compute = DType::f32;
  int sequences = 1;
};

void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }

class DecodeStep : public testing::TestWithParam<Case> {};

// Decodes 20 steps and calls seen(step, allocations) for each but the first.
void decode(const Case& param, int threads, const std::function<void(int, std::int64_t)>& seen) {
  const auto device = open_device("cpu", {.threads = threads});
  const auto model = GlmOcr::load(std::filesystem::path(GLMOCR_TEST_DATA) / "narrow", *device, param.compute);
  KvCache cache(*device, model->decoder().kv_spec(256, 8));
  StepRunner runner(*model, cache, {.sequences = param.sequences, .prefill_rows = 64, .context = 256});
  std::vector<std::unique_ptr<Sequence>> sequences;
  std::vector<StepRows> prompts, rows;
  ReadOptions options;
  options.prompt = "on and on";
  options.sampling = param.sampling;
  for (int i = 0; i < param.sequences; ++i) {
    sequences.push_back(std::make_unique<Sequence>(make_request(*model, {}, options), model->config(),
                                                   model->tokenizer(), 256));
    cache.pool().take(32, sequences[i]->pages());
    const std::int64_t prompt = sequences[i]->prompt_tokens();
    ASSERT_LE(prompt, kFewRows);
    prompts.push_back({.sequence = std::size_t(i), .count = prompt, .logits = 1});
    rows.push_back({.sequence = std::size_t(i), .begin = prompt, .count = 1, .logits = 1});
  }
  const auto step = [&](std::vector<StepRows>& step_rows) {
    counting = true;
    const StepRunner::Ticket ticket = runner.launch(step_rows, sequences);
    const std::span<const SampledToken> tokens = runner.collect(ticket, step_rows, sequences);
    counting = false;
    for (std::size_t i = 0; i < tokens.size(); ++i) sequences[i]->accept(tokens[i], {});
    return allocations.exchange(0);
  };
  EXPECT_GT(step(prompts), 0) << "the first step makes room";
  step(rows);
  for (int i = 0; i < 20; ++i) {
    for (StepRows& r : rows) ++r.begin;
    if (i % 5 == 4) runner.restage();  // as after another sequence has ended
    seen(i, step(rows));
  }
}

TEST_P(DecodeStep, TakesNoMemoryFromTheSystem) {
  decode(GetParam(), 1, [](int step, std::int64_t count) { EXPECT_EQ(count, 0) << "step " << step; });
}

// A worker makes room for itself when it first takes part in a step, whenever that is.
TEST_P(DecodeStep, OnSeveralThreadsOnlyANewWorkerDoes) {
  std::int64_t all = 0;
  decode(GetParam(), 2, [&](int, std::int64_t count) { all += count; });
  EXPECT_LE(all, 2);
}

INSTANTIATE_TEST_SUITE_P(On, DecodeStep,
                         testing::Values(Case{"greedy", {}}, Case{"greedy_bf16", {}, DType::bf16},
                                         Case{"batch", {}, DType::f32, 5},
                                         Case{"sampled",
                                              {.temperature = 0.8f, .top_p = 0.9f, .top_k = 40, .seed = 3}},
                                         Case{"penalty", {.repetition_penalty = 1.2f}}),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace glmocr::engine
