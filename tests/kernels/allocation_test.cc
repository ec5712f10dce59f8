// SPDX-License-Identifier: Apache-2.0
#include <atomic>
#include <cstdlib>
#include <functional>
#include <new>

#include "kernel_test.h"
#include "sampling_tables.h"

namespace {

// Allocations of the calling thread by operator new, which this program replaces.
thread_local std::int64_t allocations = 0;

}  // namespace

void* operator new(std::size_t bytes) {
  ++allocations;
  if (void* memory = std::malloc(bytes)) return memory;
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

namespace glmocr::test {
namespace {

class AllocationTest : public testing::TestWithParam<std::string> {};

// A step like the one before takes nothing from the system. On one thread, so that all of it is counted.
TEST_P(AllocationTest, SamplingTheNextStep) {
  const std::unique_ptr<Device> device = open_device(GetParam(), {.threads = 1});
  const std::int64_t n = 4, vocab = 500;
  std::vector<SamplingRow> rows(n);
  rows[1].temperature = 0.8f;
  rows[2].repetition_penalty = 1.2f;
  rows[3].temperature = 1.2f;
  rows[3].top_k = 7;
  for (SamplingRow& row : rows) row.top_logprobs = 5;
  rows[0].top_logprobs = 0;
  const SamplingTables sampling = make_sampling_tables(*device, rows, vocab);
  const std::vector<float> values(n * vocab, 0.5f);
  const Tensor logits = device->upload_array(values.data(), {n, vocab});
  const Ids zeros(3 * n);
  const DecodeTables tables{
      device->upload_array(zeros.data(), {n}),    device->upload_array(zeros.data(), {3, n}),
      device->upload_array(zeros.data(), {n}),    device->upload_array(zeros.data(), {n}),
      device->upload_array(zeros.data(), {n, 3}), 16};
  const Tensor picked = device->upload_array(zeros.data(), {n});
  const StepKey key{.rows = 4};
  const auto body = [&] {
    device->ops().gather_rows(logits, picked);
    device->ops().sample(logits, sampling, tables);
  };
  const std::function<void()> step = std::ref(body);
  device->run_step(key, step);
  const std::int64_t before = allocations;
  for (int i = 0; i < 5; ++i) device->run_step(key, step);
  EXPECT_EQ(allocations, before);
}

TEST(Allocation, ParallelLoops) {
  ThreadPool pool(3);
  std::atomic<std::int64_t> sum{0};
  const auto body = [&](std::int64_t begin, std::int64_t end) { sum += end - begin; };
  const std::int64_t before = allocations;
  for (int i = 0; i < 20; ++i) pool.parallel_for(100, 3, std::ref(body));
  EXPECT_EQ(allocations, before);
  EXPECT_EQ(sum, 2000);
}

INSTANTIATE_TEST_SUITE_P(All, AllocationTest, testing::Values("ref", "cpu", "cpu:baseline"),
                         [](const auto& info) { return std::to_string(info.index); });

}  // namespace
}  // namespace glmocr::test
