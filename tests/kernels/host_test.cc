// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

#include "kernels/host/host_device.h"
#include "support/environment_variable.h"
#include "support/expect_error.h"

namespace glmocr {
namespace {

constexpr std::int64_t kMebibyte = 1 << 20;

std::shared_ptr<MemoryBudget> budget_of(std::int64_t limit) { return std::make_shared<MemoryBudget>(limit); }

TEST(Arena, MemoryIsAlignedAndDisjoint) {
  Arena arena(budget_of(0));
  auto* a = static_cast<std::byte*>(arena.take(100));
  auto* b = static_cast<std::byte*>(arena.take(1));
  auto* c = static_cast<std::byte*>(arena.take(40 * kMebibyte));
  for (const std::byte* p : {a, b, c}) EXPECT_EQ(reinterpret_cast<std::uintptr_t>(p) % 64, 0u);
  EXPECT_GE(b - a, 100);
  std::memset(a, 1, 100);
  std::memset(b, 2, 1);
  std::memset(c, 3, 40 * kMebibyte);
  EXPECT_EQ(a[99], std::byte{1});
  EXPECT_EQ(b[0], std::byte{2});
}

TEST(Arena, RewindGivesTheSameMemoryAgain) {
  Arena arena(budget_of(0));
  arena.take(1000);
  const std::int64_t mark = arena.mark();
  for (const std::int64_t size : {5000, 3 << 20}) {  // in the first block, and in the next
    void* first = arena.take(size);
    arena.take(30 * kMebibyte);
    arena.rewind(mark);
    EXPECT_EQ(arena.mark(), mark);
    EXPECT_EQ(arena.take(size), first);
    arena.rewind(mark);
  }
}

// Same plan, same addresses, and nothing more from the budget.
TEST(Arena, EqualStepsDoNotGrow) {
  const auto budget = budget_of(0);
  Arena arena(budget);
  void* addresses[3] = {};
  const std::int64_t sizes[] = {3 * kMebibyte, 50 * kMebibyte, 64};
  for (int step = 0; step < 6; ++step) {
    for (int i = 0; i < 3; ++i) {
      void* memory = arena.take(sizes[i]);
      if (step > 1) {
        EXPECT_EQ(memory, addresses[i]) << "step " << step;
      }
      addresses[i] = memory;
    }
    arena.rewind(0);
    EXPECT_EQ(arena.mark(), 0);
  }
  EXPECT_EQ(arena.peak(), 53 * kMebibyte + 64);
  EXPECT_EQ(budget->used(), 53 * kMebibyte + 64);  // one block of the size that a step needs
  EXPECT_LE(budget->peak(), 54 * kMebibyte);       // never old and new blocks at once
}

TEST(Arena, ReserveMakesOneBlock) {
  const auto budget = budget_of(100 * kMebibyte);
  Arena arena(budget);
  arena.take(10);
  EXPECT_THROW(arena.reserve(kMebibyte), Error);  // in the middle of a step
  arena.rewind(0);
  arena.reserve(60 * kMebibyte);
  EXPECT_EQ(budget->used(), 60 * kMebibyte);
  arena.take(60 * kMebibyte);
  EXPECT_EQ(budget->used(), 60 * kMebibyte);
  arena.rewind(0);
  arena.reserve(90 * kMebibyte);  // more than fits beside the old block
  EXPECT_EQ(budget->used(), 90 * kMebibyte);
  arena.reserve(kMebibyte);
  EXPECT_EQ(budget->used(), kMebibyte);
  arena.reserve(0);
  EXPECT_EQ(budget->used(), 0);
  EXPECT_THROW(arena.reserve(101 * kMebibyte), Error);
  EXPECT_NE(arena.take(kMebibyte), nullptr);  // the arena can still be used
}

TEST(Arena, PeakIsTheMostEverHeld) {
  Arena arena(budget_of(0));
  arena.take(2 * kMebibyte);
  arena.rewind(0);
  arena.take(kMebibyte);
  EXPECT_EQ(arena.peak(), 2 * kMebibyte);
}

TEST(Arena, AFullBudgetIsAnErrorThatNamesSizes) {
  Arena arena(budget_of(20 * kMebibyte));
  arena.take(kMebibyte);
  expect_error(ErrorCode::memory, {"workspace", "64.0 MiB", "20.0 MiB"}, [&] { arena.take(64 * kMebibyte); });
  EXPECT_NE(arena.take(1000), nullptr);  // what fits goes on
}

class HostDeviceTest : public testing::Test {
 protected:
  static constexpr KvSpec kSpec{.layers = 3, .kv_heads = 2, .head_dim = 32, .pages = 100, .page_size = 16};

  std::shared_ptr<MemoryBudget> budget_ = budget_of(64 * kMebibyte);
  std::unique_ptr<Device> device_ = open_device("cpu:baseline", {.threads = 1, .memory = budget_});
};

TEST_F(HostDeviceTest, EverythingSharesOneBudget) {
  EXPECT_EQ(device_->memory(), budget_);
  EXPECT_EQ(device_->kv_page_bytes(kSpec), 2 * 3 * 2 * 16 * 32 * 4);
  KvSpec large = kSpec;
  large.pages = 40 * kMebibyte / device_->kv_page_bytes(kSpec);
  // Two of the three never fit together, whichever comes first.
  const auto buffer = [&] { return device_->allocate(40 * kMebibyte); };
  const auto store = [&] { return device_->make_kv_store(large); };
  const auto scratch = [&] { return device_->scratch({40 * kMebibyte}, DType::u8); };
  {
    const Buffer held = buffer();
    expect_error(ErrorCode::memory, {"keys and values"}, store);
    expect_error(ErrorCode::memory, {"workspace"}, scratch);
    expect_error(ErrorCode::memory, {"weights and tables"}, buffer);
    EXPECT_EQ(budget_->used(), 40 * kMebibyte);
  }
  EXPECT_EQ(budget_->used(), 0);
  {
    const auto held = store();
    EXPECT_EQ(budget_->used(), large.pages * device_->kv_page_bytes(kSpec));
    EXPECT_THROW(buffer(), Error);
    EXPECT_THROW(scratch(), Error);
  }
  EXPECT_EQ(budget_->used(), 0);
  {
    const ArenaScope scope(*device_);
    scratch();
    EXPECT_THROW(buffer(), Error);
    EXPECT_THROW(store(), Error);
  }
  EXPECT_EQ(budget_->used(), 40 * kMebibyte);  // the arena keeps its block
  device_.reset();
  EXPECT_EQ(budget_->used(), 0);
}

TEST_F(HostDeviceTest, BuffersOutliveTheDevice) {
  Buffer buffer = device_->allocate(kMebibyte);
  device_.reset();
  std::weak_ptr<MemoryBudget> budget = budget_;
  budget_.reset();
  EXPECT_EQ(budget.lock()->used(), kMebibyte);
  buffer = Buffer();
  EXPECT_TRUE(budget.expired());
}

TEST_F(HostDeviceTest, PaidBuffersAreNotCountedAgain) {
  const MemoryShare share(budget_, 60 * kMebibyte, "pictures");
  EXPECT_THROW(device_->allocate(50 * kMebibyte), Error);
  const Buffer buffer = device_->allocate_paid(50 * kMebibyte);
  EXPECT_EQ(buffer.bytes(), 50 * kMebibyte);
  EXPECT_EQ(budget_->used(), 60 * kMebibyte);
}

TEST_F(HostDeviceTest, ReservedArenaIsAllThatAStepTakes) {
  device_->reserve_arena(8 * kMebibyte);
  EXPECT_EQ(budget_->used(), 8 * kMebibyte);
  device_->run_step([&] {
    for (int i = 0; i < 8; ++i) device_->scratch({kMebibyte}, DType::u8);
  });
  EXPECT_EQ(budget_->peak(), 8 * kMebibyte);
  EXPECT_EQ(device_->arena_peak_bytes(), 8 * kMebibyte);
}

TEST_F(HostDeviceTest, StepBeginsWithAnEmptyArenaAndLeavesItEmpty) {
  void* first = nullptr;
  const StepKey key{.rows = 3};
  for (int i = 0; i < 4; ++i) {
    const auto body = [&] {
      void* memory = device_->scratch({1000}, DType::f32).data;
      if (i > 0) {
        EXPECT_EQ(memory, first);
      }
      first = memory;
    };
    i % 2 ? device_->run_step(body) : device_->run_step(key, body);
    EXPECT_EQ(device_->arena_mark(), 0);
  }
  EXPECT_THROW(device_->run_step(key, [&] { fail(ErrorCode::internal, "x"); }), Error);
  EXPECT_EQ(device_->arena_mark(), 0);
}

// Of a device without a layout of its own.
TEST_F(HostDeviceTest, PrepareUsesTheFileWhereItLies) {
  device_ = open_device("ref", {.threads = 1, .memory = budget_});
  alignas(4) unsigned char file[64] = {};
  Buffer owner;
  const Weight even = device_->prepare(Tensor(file + 2, {2, 4}, DType::bf16), WeightUse::linear, owner);
  EXPECT_EQ(even.data.data, file + 2);
  EXPECT_EQ(even.data.device, device_.get());
  EXPECT_EQ(even.out_features, 2);
  EXPECT_EQ(even.in_features, 4);
  EXPECT_EQ(even.use, WeightUse::linear);
  EXPECT_FALSE(even.bias);
  EXPECT_FALSE(owner);
  file[3] = 0x80;
  file[4] = 0x3F;
  const Weight odd = device_->prepare(Tensor(file + 3, {4, 1}, DType::bf16), WeightUse::embedding, owner);
  ASSERT_TRUE(owner);
  EXPECT_EQ(odd.data.data, owner.data());
  EXPECT_EQ(odd.use, WeightUse::embedding);
  EXPECT_EQ(budget_->used(), 8);
  std::uint16_t values[4] = {};
  device_->download(odd.data, values);
  EXPECT_EQ(values[0], 0x3F80);
}

TEST_F(HostDeviceTest, CopyAndBorrow) {
  std::vector<std::int32_t> values{1, 2, 3};
  const Tensor borrowed = device_->borrow(Tensor(values.data(), {3}, DType::i32));
  EXPECT_EQ(borrowed.data, values.data());
  EXPECT_EQ(borrowed.device, device_.get());
  const Tensor copy = device_->scratch({3}, DType::i32);
  device_->copy(borrowed, copy);
  std::vector<std::int32_t> back(3);
  device_->download(copy, back.data());
  EXPECT_EQ(back, values);
  EXPECT_THROW(device_->copy(borrowed, copy.slice(0, 0, 2)), Error);
}

TEST_F(HostDeviceTest, StoresBelongToTheirDevice) {
  const auto other = open_device("ref", {.threads = 1});
  const auto store = other->make_kv_store(kSpec);
  EXPECT_EQ(store->spec(), kSpec);
  const Tensor k = device_->scratch({1, 2, 32}, DType::f32), slot = device_->scratch({1}, DType::i32);
  EXPECT_THROW(device_->ops().kv_write(k, k, *store, 0, slot), Error);
  const auto own = device_->make_kv_store(kSpec);
  EXPECT_THROW(device_->ops().kv_write(k, k, *own, 3, slot), Error);  // there are three layers
}

TEST_F(HostDeviceTest, DevicesOfOneSizeShareTheirThreads) {
  const auto pool = shared_thread_pool(1);
  EXPECT_EQ(pool.use_count(), 2);
  const auto other = open_device("ref", {.threads = 1});
  EXPECT_EQ(pool.use_count(), 3);
  const auto own = std::make_shared<ThreadPool>(2);
  EXPECT_EQ(open_device("ref", {.threads = 7, .pool = own})->threads(), 2);
}

TEST_F(HostDeviceTest, NothingIsRecordedSoSizesAreExact) {
  EXPECT_EQ(device_->step_sizes().depth, 1);
  for (const int count : {0, 1, 17, 513}) EXPECT_EQ(device_->bucket(count), count);
}

TEST_F(HostDeviceTest, UnknownNamesSayWhatThereIs) {
  for (const char* name : {"cpu:avx9", "cuda:99", "cuda:x", ""}) {
    expect_error(ErrorCode::device, {"baseline"}, [&] { open_device(name); });
  }
  expect_error(ErrorCode::device, {"\"cpu:\" names no instruction set", "baseline"},
               [] { open_device("cpu:"); });
}

TEST_F(HostDeviceTest, ItsNameSaysTheInstructionSetThatWasNamed) {
  EXPECT_EQ(device_->name(), "cpu:baseline");
  const EnvironmentVariable unset("GLMOCR_CPU_ISA", nullptr);
  EXPECT_EQ(open_device("cpu", {.threads = 1})->name(), "cpu");
  const EnvironmentVariable named("GLMOCR_CPU_ISA", "baseline");
  EXPECT_EQ(open_device("cpu", {.threads = 1})->name(), "cpu:baseline");
}

}  // namespace
}  // namespace glmocr
