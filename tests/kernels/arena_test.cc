// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>

#include "kernels/host/host_device.h"

namespace glmocr {
namespace {

constexpr std::int64_t kMiB = 1 << 20;

TEST(Arena, MemoryIsAlignedAndDisjoint) {
  Arena arena(0);
  auto* a = static_cast<std::byte*>(arena.take(100));
  auto* b = static_cast<std::byte*>(arena.take(1));
  auto* c = static_cast<std::byte*>(arena.take(40 * kMiB));
  for (const std::byte* p : {a, b, c}) EXPECT_EQ(reinterpret_cast<std::uintptr_t>(p) % 64, 0u);
  EXPECT_GE(b - a, 100);
  std::memset(a, 1, 100);
  std::memset(b, 2, 1);
  std::memset(c, 3, static_cast<std::size_t>(40 * kMiB));
  EXPECT_EQ(a[99], std::byte{1});
  EXPECT_EQ(b[0], std::byte{2});
}

TEST(Arena, RewindGivesTheSameMemoryAgain) {
  Arena arena(0);
  arena.take(1000);
  const std::size_t mark = arena.mark();
  void* first = arena.take(5000);
  arena.take(30 * kMiB);
  arena.rewind(mark);
  EXPECT_EQ(arena.mark(), mark);
  EXPECT_EQ(arena.take(5000), first);
}

// Same plan, same addresses, and nothing more from the system.
TEST(Arena, EqualStepsDoNotGrow) {
  Arena arena(0);
  void* addresses[3] = {};
  std::int64_t peak = 0;
  for (int step = 0; step < 6; ++step) {
    const std::int64_t sizes[] = {3 * kMiB, 50 * kMiB, 7};
    for (int i = 0; i < 3; ++i) {
      void* memory = arena.take(sizes[i]);
      if (step > 1) {
        EXPECT_EQ(memory, addresses[i]) << "step " << step;
      }
      addresses[i] = memory;
    }
    if (step == 0) peak = arena.peak();
    arena.rewind(0);
    EXPECT_EQ(arena.mark(), 0u);
  }
  EXPECT_LE(arena.peak(), peak + 16 * kMiB);  // the end of the first block is given up once at most
}

TEST(Arena, PeakIsTheMostEverHeld) {
  Arena arena(0);
  arena.take(2 * kMiB);
  arena.rewind(0);
  arena.take(kMiB);
  EXPECT_EQ(arena.peak(), 2 * kMiB);
}

TEST(Arena, LimitIsAnErrorThatNamesSizes) {
  Arena arena(20 * kMiB);
  arena.take(kMiB);
  try {
    arena.take(64 * kMiB);
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::memory);
    EXPECT_THAT(error.what(), testing::HasSubstr(std::to_string(64 * kMiB)));
  }
  EXPECT_NE(arena.take(1000), nullptr);  // what fits goes on
}

class HostDeviceTest : public testing::Test {
 protected:
  std::unique_ptr<Device> device_ = open_device("cpu:baseline", {.threads = 1, .memory_limit = 64 * kMiB});
};

TEST_F(HostDeviceTest, BuffersAndScratchShareOneLimit) {
  Buffer buffer = device_->allocate(50 * kMiB);
  EXPECT_THROW(device_->allocate(20 * kMiB), Error);
  EXPECT_THROW(device_->scratch({20 * kMiB}, DType::u8), Error);
  buffer = Buffer();
  EXPECT_NO_THROW(device_->allocate(20 * kMiB));
}

TEST_F(HostDeviceTest, StepBeginsWithAnEmptyArenaAndLeavesItEmpty) {
  void* first = nullptr;
  for (int i = 0; i < 3; ++i) {
    device_->run_step(1, [&] {
      void* memory = device_->scratch({1000}, DType::f32).data;
      if (i > 0) {
        EXPECT_EQ(memory, first);
      }
      first = memory;
    });
    EXPECT_EQ(device_->arena_mark(), 0u);
  }
  EXPECT_THROW(device_->run_step(1, [&] { fail(ErrorCode::internal, "x"); }), Error);
  EXPECT_EQ(device_->arena_mark(), 0u);
}

TEST_F(HostDeviceTest, PlaceUsesTheFileWhereItLies) {
  alignas(4) unsigned char file[64] = {};
  Buffer owner;
  const Tensor even(file + 2, {4}, DType::bf16);
  EXPECT_EQ(device_->place(even, owner).data, file + 2);
  EXPECT_FALSE(owner);
  file[3] = 0x80;
  file[4] = 0x3F;
  const Tensor odd = device_->place(Tensor(file + 3, {4}, DType::bf16), owner);
  ASSERT_TRUE(owner);
  EXPECT_NE(odd.data, file + 3);
  EXPECT_EQ(to_float(odd.as<bf16>()[0]), 1);
}

TEST_F(HostDeviceTest, UnknownNamesSayWhatThereIs) {
  for (const char* name : {"cpu:avx9", "cuda:0", ""}) {
    try {
      open_device(name);
      FAIL() << name;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::device);
      EXPECT_THAT(error.what(), testing::HasSubstr("baseline"));
    }
  }
}

}  // namespace
}  // namespace glmocr
