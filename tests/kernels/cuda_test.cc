// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <vector>

#include "kernels/cuda/cuda_device.h"
#include "kernels/kernels.h"
#include "support/expect_error.h"

// What is particular to cuda:N: memory of its own, recorded steps, results that are fetched while later steps
// run. The operations are tested with those of the other devices.
namespace glmocr {
namespace {

constexpr std::int64_t kMiB = 1 << 20;

TEST(Cuda, CardsThatDoNotExistAreAnError) {
  for (const char* name : {"cuda:", "cuda:-1", "cuda:0x", "cuda:4096"}) {
    expect_error(ErrorCode::device, {name, "available", "cpu"}, [&] { open_device(name); });
  }
}

TEST(Cuda, AutoIsTheFirstDevice) {
  const std::string first = available_devices().front();
  EXPECT_EQ(open_device("auto", {.threads = 1})->name(), first);
  EXPECT_EQ(first, available_cuda_devices().empty() ? "cpu" : available_cuda_devices().front());
}

class CudaDeviceTest : public testing::Test {
 protected:
  void SetUp() override {
    if (available_cuda_devices().empty()) GTEST_SKIP() << "this machine has no card, or this build no CUDA";
    device_ = open_device(available_cuda_devices().front(), {.memory = budget_});
  }
  Tensor ints(const std::vector<std::int32_t>& values) {
    return device_->upload_array(values.data(), {std::ssize(values)});
  }
  std::vector<std::int32_t> fetched(const Tensor& t) {
    std::vector<std::int32_t> values(t.numel());
    device_->download(t, values.data());
    return values;
  }

  std::shared_ptr<MemoryBudget> budget_ = std::make_shared<MemoryBudget>(256 * kMiB);
  std::unique_ptr<Device> device_;
};

TEST_F(CudaDeviceTest, EverythingSharesOneBudget) {
  const KvSpec spec{
      .layers = 2, .kv_heads = 2, .head_dim = 64, .pages = 100, .page_size = 32, .dtype = DType::bf16};
  EXPECT_EQ(device_->kv_page_bytes(spec), 2 * 2 * 2 * 64 * 32 * 2);
  {
    const Buffer buffer = device_->allocate(3 * kMiB);
    const auto store = device_->make_kv_store(spec);
    EXPECT_EQ(budget_->used(), 3 * kMiB + 100 * device_->kv_page_bytes(spec));
    expect_error(ErrorCode::memory, {"weights and tables", "300.0 MiB"},
                 [&] { device_->allocate(300 * kMiB); });
    expect_error(ErrorCode::memory, {"workspace"}, [&] { device_->scratch({255 * kMiB}, DType::u8); });
  }
  EXPECT_EQ(budget_->used(), 0);
  device_->reserve_arena(5 * kMiB);
  EXPECT_EQ(budget_->used(), 5 * kMiB);
  device_->reserve_arena(0);
  EXPECT_EQ(budget_->used(), 0);
}

TEST_F(CudaDeviceTest, WhatTheCardLacksIsAnErrorWithSizes) {
  const auto free_device = open_device(device_->name());
  expect_error(ErrorCode::memory, {device_->name(), "1024.0 TiB", "are free"},
               [&] { free_device->allocate(std::int64_t{1} << 50); });
  EXPECT_TRUE(free_device->allocate(kMiB));
}

TEST_F(CudaDeviceTest, BuffersOutliveTheDevice) {
  Buffer buffer = device_->allocate(kMiB);
  device_.reset();
  EXPECT_EQ(budget_->used(), kMiB);
  buffer = Buffer();
  EXPECT_EQ(budget_->used(), 0);
}

// Where the card is one and its code was built, the kernels for Hopper must pass their check.
TEST_F(CudaDeviceTest, KernelsForHopperAreUsed) {
  const std::string plain = device_->name() + ":sm80";
  const std::vector<std::string> names = available_devices();
  if (std::find(names.begin(), names.end(), plain) == names.end()) GTEST_SKIP() << "the card is no Hopper";
  EXPECT_EQ(device_->isa(), "sm_90a") << "unless this build leaves out 90a-real";
  EXPECT_EQ(open_device(plain)->isa(), "sm_90");
  EXPECT_EQ(budget_->used(), 0);
}

// More than the ring that uploads go through, from memory that changes at once.
TEST_F(CudaDeviceTest, UploadsTakeWhatTheHostHoldsAtTheCall) {
  std::vector<std::int32_t> values(5 << 20);
  std::iota(values.begin(), values.end(), 7);
  const std::vector<std::int32_t> expected = values;
  const Tensor tensor = device_->scratch({std::ssize(values)}, DType::i32);
  device_->upload(values.data(), tensor);
  std::fill(values.begin(), values.end(), -1);
  for (std::int32_t i = 0; i < 3000; ++i) {
    device_->upload(&i, tensor.slice(0, i, i + 1));
  }
  const std::vector<std::int32_t> found = fetched(tensor);
  EXPECT_EQ(std::vector(found.begin() + 3000, found.end()),
            std::vector(expected.begin() + 3000, expected.end()));
  for (std::int32_t i = 0; i < 3000; ++i) ASSERT_EQ(found[i], i);
}

TEST_F(CudaDeviceTest, PreparedWeightsAreCopiedOnce) {
  const std::vector<float> values{1, 2, 3, 4, 5, 6};
  Buffer owner, none;
  const Tensor host(const_cast<float*>(values.data()), {2, 3}, DType::f32);
  const Weight weight = device_->prepare(host, WeightUse::linear, owner);
  EXPECT_EQ(weight.data.data, owner.data());
  const Weight again = device_->prepare(weight.data, WeightUse::embedding, none);
  EXPECT_FALSE(none);
  EXPECT_EQ(again.data.data, owner.data());
  std::vector<float> back(6);
  device_->download(weight.data, back.data());
  EXPECT_EQ(back, values);
}

TEST_F(CudaDeviceTest, BucketsAreFewAndNearTheCount) {
  int buckets = 0, last = 0;
  for (int count = 1; count <= 4096; ++count) {
    const int bucket = device_->bucket(count);
    EXPECT_GE(bucket, count);
    EXPECT_LE(bucket, count <= 8 ? 2 * count : count + count / 4 + 1) << count;
    EXPECT_EQ(device_->bucket(bucket), bucket);
    EXPECT_GE(bucket, last);
    buckets += bucket != last;
    last = bucket;
  }
  EXPECT_LE(buckets, 40);
}

// Enough rows for each size of tile, with both kinds of fp32 products, against the processor. Short ones are off by a few
// 2^-18 of their terms, not by the 2^-9 of bf16 or the 2^-12 of TF32.
TEST_F(CudaDeviceTest, ConvolutionsOfManyPixels) {
  const auto processor = open_device("cpu", {.threads = 2});
  const auto shorter = open_device(device_->name(), {.memory = budget_, .short_products = true});
  std::uint32_t seed = 7;
  const auto random = [&](std::int64_t count) {
    std::vector<float> values(count);
    for (float& value : values) {
      seed = seed * 1664525 + 1013904223;
      value = (seed >> 8) * 0x1p-23f - 1;
    }
    return values;
  };
  const std::int64_t in = 36, side = 90, terms = 9 * in;
  const std::vector<float> map = random(2 * side * side * in);
  for (const std::int64_t out : {32, 64, 70, 96, 128, 200}) {
    const std::vector<float> kernel = random(out * terms), bias = random(out);
    const auto result = [&](Device& on) {
      const ArenaScope scope(on);
      Buffer owner, bias_owner = on.allocate(out * 4), map_owner = on.allocate(std::ssize(map) * 4);
      Weight w = on.prepare(Tensor(const_cast<float*>(kernel.data()), {out, terms}, DType::f32),
                            WeightUse::convolution, owner);
      w.bias = bias_owner.view({out}, DType::f32);
      on.upload(bias.data(), w.bias);
      const Tensor x = map_owner.view({2, side, side, in}, DType::f32);
      on.upload(map.data(), x);
      const Tensor y = on.ops().convolve(x, w, {3, 3, 1, 1, 1, 1, 1}, {.activation = Activation::relu});
      std::vector<float> all(y.numel());
      on.download(y, all.data());
      return all;
    };
    const std::vector<float> expected = result(*processor);
    for (Device* device : {device_.get(), shorter.get()}) {
      const std::vector<float> found = result(*device);
      const double limit = std::sqrt(double(terms)) * (device == shorter.get() ? 0x1p-15 : 0x1p-18);
      std::int64_t bad = 0;
      double worst = 0;
      for (std::size_t i = 0; i < found.size(); ++i) {
        const double distance = std::fabs(double{found[i]} - expected[i]);
        bad += !(distance <= limit);
        worst = std::max(worst, distance);
      }
      EXPECT_EQ(bad, 0) << out << " features, short: " << (device == shorter.get()) << ", worst " << worst
                        << ", limit " << limit;
    }
  }
}

// Short heads in fp32 where sixteen bits of an operand count, in segments that end inside a block of queries or keys.
TEST_F(CudaDeviceTest, AttentionOfShortHeadsInShortProducts) {
  const auto processor = open_device("cpu", {.threads = 2});
  const auto shorter = open_device(device_->name(), {.memory = budget_, .short_products = true});
  const std::vector<std::int32_t> starts{0, 1, 40, 104, 304};
  const std::int64_t heads = 3, dim = 32, rows = starts.back();
  std::vector<float> values(rows * 3 * heads * dim);
  std::uint32_t seed = 11;
  for (float& value : values) {
    seed = seed * 1664525 + 1013904223;
    value = (seed >> 8) * 0x1p-23f - 1;
  }
  const auto result = [&](Device& on) {
    const ArenaScope scope(on);
    const Buffer owner = on.allocate(std::ssize(values) * 4);
    const Tensor all = owner.view({rows, 3 * heads, dim}, DType::f32);
    on.upload(values.data(), all);
    AttentionOptions options;
    options.scale = 0.5f;
    options.segments = starts;
    const Tensor y = on.ops().attention(all.slice(1, 0, heads), all.slice(1, heads, 2 * heads),
                                        all.slice(1, 2 * heads, 3 * heads), options);
    std::vector<float> found(y.numel());
    on.download(y, found.data());
    return found;
  };
  const std::vector<float> expected = result(*processor), found = result(*shorter);
  for (std::size_t i = 0; i < found.size(); ++i) ASSERT_NEAR(found[i], expected[i], 0x1p-11) << i;
}

// Numbers from a fixed sequence, as bf16, in memory of the device that `keep` owns.
Tensor numbers(Device& device, const Shape& shape, std::uint32_t seed, std::vector<Buffer>& keep) {
  std::vector<bf16> values(shape.numel());
  for (bf16& value : values) {
    seed = seed * 1664525 + 1013904223;
    value = to_bf16((seed >> 8) * 0x1p-23f - 1);
  }
  const Tensor host(values.data(), shape, DType::bf16);
  keep.push_back(device.allocate(host.bytes()));
  const Tensor tensor = keep.back().view(shape, DType::bf16);
  device.upload(values.data(), tensor);
  return tensor;
}

std::vector<std::uint16_t> bits_of(Device& device, const Tensor& t) {
  std::vector<std::uint16_t> bits(t.numel());
  device.download(t, bits.data());
  return bits;
}

// A product of many rows uses wider tiles than one of fewer: the rows have the same bits.
TEST_F(CudaDeviceTest, TilesOfEveryWidthGiveTheSameRows) {
  std::vector<Buffer> keep;
  const std::int64_t rows = 9000, in = 192, out = 1032;
  const Tensor x = numbers(*device_, {rows, in}, 1, keep), w = numbers(*device_, {out, in}, 2, keep);
  Buffer none;
  const Weight weight = device_->prepare(w, WeightUse::linear, none);
  const std::vector<std::uint16_t> all = bits_of(*device_, device_->ops().linear(x, weight));
  for (const std::int64_t begin : {0, 127, 8500}) {
    const Tensor some = device_->ops().linear(x.slice(0, begin, begin + 500), weight);
    const auto from = all.begin() + begin * out;
    EXPECT_EQ(bits_of(*device_, some), std::vector<std::uint16_t>(from, from + 500 * out)) << begin;
  }
}

// In a recorded step products of the same rows become one launch; a product whose residual is the result of the
// one before does not.
TEST_F(CudaDeviceTest, ProductsOfTheSameRowsMayShareALaunch) {
  std::vector<Buffer> keep;
  const std::int64_t rows = 3, in = 320;
  const Tensor x = numbers(*device_, {rows, in}, 1, keep);
  std::vector<Weight> weights;
  std::vector<Tensor> results;
  std::vector<std::vector<std::uint16_t>> expected;
  for (const std::int64_t out : {160, 40, 40, 40, 24}) {
    Buffer none;
    weights.push_back(device_->prepare(numbers(*device_, {out, in}, out, keep), WeightUse::linear, none));
    results.push_back(numbers(*device_, {rows, out}, 7, keep));
  }
  const auto product = [&](std::size_t i) {
    LinearOptions options{.rows = RowClass::few};
    if (i == 2) options.residual = results[1];
    options.out = results[i];
    device_->ops().linear(x, weights[i], options);
  };
  for (std::size_t i = 0; i < weights.size(); ++i) {
    product(i);
    expected.push_back(bits_of(*device_, results[i]));
  }
  for (const Tensor& result : results) {
    const std::vector<std::uint16_t> nothing(result.numel(), 0xFFFF);
    device_->upload(nothing.data(), result);
  }
  device_->run_step(StepKey{.rows = 3}, [&] {
    for (std::size_t i = 0; i < weights.size(); ++i) product(i);
  });
  for (std::size_t i = 0; i < weights.size(); ++i) EXPECT_EQ(bits_of(*device_, results[i]), expected[i]) << i;
}

// Many blocks of keys, the last of which is not whole, and several segments: every run gives the same, and what the kernels
// without Hopper's instructions give but for a rounding.
TEST_F(CudaDeviceTest, AttentionOfManyKeysIsTheSameInEveryRun) {
  const std::string plain_name = device_->name() + ":sm80";
  const std::vector<std::string> names = available_devices();
  if (std::find(names.begin(), names.end(), plain_name) == names.end())
    GTEST_SKIP() << "the card is no Hopper";
  const auto plain = open_device(plain_name);
  constexpr std::int64_t kHeadCount = 4, kDim = 64;
  for (const std::vector<std::int32_t>& segments :
       {std::vector<std::int32_t>{0, 4610}, {0, 1000, 2213, 2300, 5000}}) {
    const std::int64_t n = segments.back();
    const auto run = [&](Device& device) {
      std::vector<Buffer> keep;
      const Tensor all = numbers(device, {n, 3 * kHeadCount, kDim}, 1, keep);
      const Tensor q = all.slice(1, 0, kHeadCount), k = all.slice(1, kHeadCount, 2 * kHeadCount),
                   v = all.slice(1, 2 * kHeadCount, 3 * kHeadCount);
      const ArenaScope scope(device);
      return bits_of(device, device.ops().attention(q, k, v, {.scale = 1, .segments = segments}));
    };
    const std::vector<std::uint16_t> first = run(*device_), expected = run(*plain);
    for (int i = 0; i < 5; ++i) EXPECT_EQ(run(*device_), first) << n << " rows";
    double largest = 0;
    for (std::size_t i = 0; i < first.size(); ++i) {
      largest = std::max(largest, std::abs(double{to_float(bf16{first[i]})} - to_float(bf16{expected[i]})));
    }
    EXPECT_LE(largest, 0x1p-6) << n << " rows of values below 1";
  }
}

// Rows of few are kept in other places as they become more, and gate and up share their tiles: the rows have the same bits.
TEST_F(CudaDeviceTest, FewRowsAreTheSameInAnyNumber) {
  struct Case {
    std::int64_t in, out;
    bool gated;
  };
  for (const Case& c : {Case{1536, 200, false}, Case{2048, 72, false}, Case{320, 16400, false},
                        Case{1536, 136, true}, Case{4608, 24, true}, Case{4608, 40, false}}) {
    std::vector<Buffer> keep;
    const Tensor x = numbers(*device_, {64, c.in}, 1, keep);
    Buffer none;
    const Weight first = device_->prepare(numbers(*device_, {c.out, c.in}, 2, keep), WeightUse::linear, none),
                 second =
                     device_->prepare(numbers(*device_, {c.out, c.in}, 3, keep), WeightUse::linear, none);
    const auto rows = [&](std::int64_t begin, std::int64_t end) {
      const ArenaScope scope(*device_);
      const Tensor some = x.slice(0, begin, end);
      return bits_of(*device_, c.gated ? device_->ops().gated_linear(some, first, second, RowClass::few)
                                       : device_->ops().linear(some, first, {.rows = RowClass::few}));
    };
    std::vector<std::uint16_t> alone;
    for (std::int64_t r = 0; r < 64; ++r) {
      const auto row = rows(r, r + 1);
      alone.insert(alone.end(), row.begin(), row.end());
    }
    for (const std::int64_t count : {8, 9, 16, 17, 32, 33, 64}) {
      const auto from = alone.begin() + (64 - count) * c.out;
      EXPECT_EQ(rows(64 - count, 64), std::vector<std::uint16_t>(from, alone.end()))
          << c.in << " → " << c.out << ", " << count << " rows";
    }
  }
}

// In a recorded step the product behind an add_norm of one row computes it too.
TEST_F(CudaDeviceTest, AnAddedNormMayBePartOfAProduct) {
  std::vector<Buffer> keep;
  const std::int64_t width = 1536, out = 3000;
  const auto floats = [&](float from) {
    std::vector<float> values(width);
    for (std::int64_t i = 0; i < width; ++i) values[i] = from + 0.001f * i;
    keep.push_back(device_->allocate(4 * width));
    const Tensor tensor = keep.back().view({width}, DType::f32);
    device_->upload(values.data(), tensor);
    return tensor;
  };
  const Tensor weight = floats(0.5f), next = floats(-1.5f);
  Buffer none;
  const Weight gate = device_->prepare(numbers(*device_, {out, width}, 5, keep), WeightUse::linear, none),
               up = device_->prepare(numbers(*device_, {out, width}, 6, keep), WeightUse::linear, none);
  for (const std::int64_t rows : {1, 2}) {
    for (const int products : {0, 1, 2, 3}) {  // 3: gate and up
      std::vector<std::vector<std::uint16_t>> found[2];
      for (const bool recorded : {false, true}) {
        const Tensor x = numbers(*device_, {rows, width}, 1, keep),
                     y = numbers(*device_, {rows, width}, 2, keep),
                     h = numbers(*device_, {rows, width}, 3, keep);
        const Tensor results[] = {numbers(*device_, {rows, out}, 4, keep),
                                  numbers(*device_, {rows, out}, 4, keep)};
        const auto body = [&] {
          const ArenaScope scope(*device_);
          device_->ops().add_norm(x, y, weight, next, 1e-5f, h);
          if (products == 3) {
            device_->copy(device_->ops().gated_linear(h, gate, up, RowClass::few), results[0]);
          }
          for (int i = 0; products < 3 && i < products; ++i) {
            LinearOptions options{.rows = RowClass::few};
            options.out = results[i];
            device_->ops().linear(h, i == 0 ? gate : up, options);
          }
        };
        const StepKey key{.rows = static_cast<int>(rows), .pages = products};
        recorded ? device_->run_step(key, body) : device_->run_step(body);
        for (const Tensor& t : {x, h, results[0], results[1]})
          found[recorded].push_back(bits_of(*device_, t));
      }
      EXPECT_EQ(found[1], found[0]) << rows << " rows, " << products << " products";
    }
  }
}

// Moves tables on as a decoding step does: each replay sees what the one before has written.
class RecordedStep : public CudaDeviceTest {
 protected:
  void SetUp() override {
    CudaDeviceTest::SetUp();
    if (!device_) return;
    memory_ = device_->allocate(4 * 256);
    const auto take = [&](int i) { return memory_.view({4}, DType::i32, 256 * i); };
    source_ = take(0);
    order_ = take(1);
    kept_[0] = take(2);
    kept_[1] = take(3);
    const std::vector<std::int32_t> order{1, 2, 3, 0};
    set(std::vector<std::int32_t>{1, 2, 3, 4});
    device_->upload(order.data(), order_);
  }
  void set(const std::vector<std::int32_t>& values) { device_->upload(values.data(), source_); }
  // source = source in the order of `order`, as rows of one fp32 value.
  void rotate() {
    ++bodies_;
    const ArenaScope scope(*device_);
    const Tensor rows(source_.data, {4, 1}, DType::f32, device_.get());
    const Tensor turned = device_->ops().gather_rows(rows, order_);
    device_->copy(turned, rows);
  }
  void step(int rows = 4) {
    device_->run_step(StepKey{.rows = rows}, [&] { rotate(); });
  }
  Buffer memory_;
  Tensor source_, order_, kept_[2];
  int bodies_ = 0;
};

TEST_F(RecordedStep, CallsItsBodyOncePerKey) {
  for (int i = 0; i < 3; ++i) step();
  EXPECT_EQ(fetched(source_), (std::vector<std::int32_t>{4, 1, 2, 3}));
  EXPECT_EQ(bodies_, 1);
  step(8);
  EXPECT_EQ(bodies_, 2);
  step();
  EXPECT_EQ(bodies_, 2);
  device_->forget_steps();
  step();
  EXPECT_EQ(bodies_, 3);
  EXPECT_EQ(fetched(source_), (std::vector<std::int32_t>{3, 4, 1, 2}));
}

// When the arena has moved, what was recorded with its old addresses is recorded again.
TEST_F(RecordedStep, IsRecordedAgainWhenTheArenaMoves) {
  step();
  device_->run_step([&] { device_->scratch({8 * kMiB}, DType::u8); });
  const Buffer elsewhere = device_->allocate(8 * kMiB);
  device_->reserve_arena(20 * kMiB);
  step();
  EXPECT_EQ(bodies_, 2);
  EXPECT_EQ(fetched(source_), (std::vector<std::int32_t>{3, 4, 1, 2}));
}

// Memory that is taken, given back and taken again, in larger pieces, while the step is being recorded.
TEST_F(RecordedStep, TheArenaStaysWhereItIsMeanwhile) {
  device_->reserve_arena(0);
  device_->run_step(StepKey{.rows = 4}, [&] {
    rotate();
    for (const std::int64_t size : {2 * kMiB, 9 * kMiB, 30 * kMiB}) {
      const ArenaScope scope(*device_);
      device_->scratch({kMiB}, DType::u8);
      device_->scratch({size}, DType::u8);
    }
    rotate();
  });
  EXPECT_EQ(fetched(source_), (std::vector<std::int32_t>{3, 4, 1, 2}));
}

TEST_F(RecordedStep, AnErrorInTheBodyRecordsNothing) {
  expect_error(ErrorCode::input, {"no"}, [&] {
    device_->run_step(StepKey{.rows = 4}, [&] {
      rotate();
      fail(ErrorCode::input, "no");
    });
  });
  EXPECT_EQ(fetched(source_), (std::vector<std::int32_t>{1, 2, 3, 4}));
  step();
  EXPECT_EQ(bodies_, 2);
  EXPECT_EQ(fetched(source_), (std::vector<std::int32_t>{2, 3, 4, 1}));
}

// Results kept outside of the step, as the engine keeps them, are those of their own step, and steps in flight
// do not change them.
TEST_F(RecordedStep, KeptResultsAreThoseOfTheirStep) {
  for (int i = 0; i < 20; ++i) {
    step();
    device_->copy(source_, kept_[i % 2]);
    if (i == 0) continue;
    const std::vector<std::int32_t> before = fetched(kept_[(i - 1) % 2]);
    for (int c = 0; c < 4; ++c) EXPECT_EQ(before[c], (c + i) % 4 + 1) << i;
  }
}

// A copy that was overwritten, by an upload or by a step, is not taken for a finished one.
TEST_F(RecordedStep, OverwrittenCopiesAreWaitedFor) {
  device_->copy(source_, kept_[0]);
  const std::vector<std::int32_t> other{9, 9, 9, 9};
  device_->upload(other.data(), kept_[0]);
  EXPECT_EQ(fetched(kept_[0]), other);
  device_->copy(kept_[0], source_);
  set({5, 6, 7, 8});
  step();
  EXPECT_EQ(fetched(source_), (std::vector<std::int32_t>{6, 7, 8, 5}));
}

TEST_F(RecordedStep, BadIndicesComeWithTheNextResult) {
  step();
  const std::vector<std::int32_t> bad{1, 2, 3, 4};
  device_->upload(bad.data(), order_);
  step();
  expect_error(ErrorCode::internal, {device_->name(), "index"}, [&] { fetched(source_); });
  fetched(source_);  // reported once
}

}  // namespace
}  // namespace glmocr
