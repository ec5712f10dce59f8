// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cstdint>
#include <functional>
#include <numeric>
#include <span>
#include <vector>

#include "kernels/cuda/cuda_device.h"
#include "kernels/kernels.h"

// Faults that show only where warps and blocks run in an unusual order: a great many launches, and results in memory that
// others have just used.
namespace glmocr {
namespace {

class CudaRacesTest : public testing::Test {
 protected:
  void SetUp() override {
    if (available_cuda_devices().empty()) GTEST_SKIP() << "this machine has no card, or this build no CUDA";
    device_ = open_device(available_cuda_devices().front());
  }

  Tensor keep(const void* from, const Shape& shape, DType dtype) {
    owners_.push_back(device_->allocate(shape.numel() * size_of(dtype)));
    const Tensor tensor = owners_.back().view(shape, dtype);
    device_->upload(from, tensor);
    return tensor;
  }
  float next() {
    random_ = random_ * 1664525u + 1013904223u;
    return static_cast<float>(random_ >> 8) * 0x1p-23f - 1;
  }
  Tensor numbers(const Shape& shape) {
    std::vector<bf16> values(shape.numel());
    for (bf16& value : values) value = to_bf16(next());
    return keep(values.data(), shape, DType::bf16);
  }
  Tensor norm(std::int64_t width) {
    std::vector<float> values(width);
    for (float& value : values) value = 1 + 0.5f * next();
    return keep(values.data(), {width}, DType::f32);
  }
  Weight weight(std::int64_t in, std::int64_t out) {
    Buffer none;
    return device_->prepare(numbers({out, in}), WeightUse::linear, none);
  }
  std::vector<std::uint16_t> bits_of(const std::vector<Tensor>& tensors) {
    std::vector<std::uint16_t> bits;
    for (const Tensor& t : tensors) {
      bits.resize(bits.size() + t.numel());
      device_->download(t, bits.data() + bits.size() - t.numel());
    }
    return bits;
  }

  // Launches it back to back; the results of some of the launches must have the bits of those of the first.
  void repeat(const char* what, const std::function<std::vector<Tensor>()>& launch) {
    constexpr int kRounds = 6, kLaunches = 500;
    const auto once = [&] {
      const ArenaScope scope(*device_);
      return bits_of(launch());
    };
    const std::vector<std::uint16_t> first = once();
    for (int round = 0; round < kRounds; ++round) {
      for (int i = 1; i < kLaunches; ++i) {
        const ArenaScope scope(*device_);
        launch();
      }
      EXPECT_TRUE(once() == first) << what << ", round " << round;
    }
  }

  // The body in a recorded step, `times` of them, and outside of one; each begins with the same bits in `kept`, the results.
  void compare_recorded(const std::vector<Tensor>& kept, int times, const std::function<void()>& body) {
    const std::vector<std::uint16_t> before = bits_of(kept);
    const auto run = [&](bool recorded) {
      std::int64_t at = 0;
      for (const Tensor& t : kept) {
        device_->upload(before.data() + at, t);
        at += t.numel();
      }
      recorded ? device_->run_step(StepKey{.rows = 1}, body) : device_->run_step(body);
      return bits_of(kept);
    };
    const std::vector<std::uint16_t> expected = run(false);
    EXPECT_FALSE(expected == before);
    for (int i = 0; i < times; ++i) EXPECT_TRUE(run(true) == expected) << i;
    device_->forget_steps();
  }

  std::unique_ptr<Device> device_;
  std::vector<Buffer> owners_;
  std::uint32_t random_ = 1;
};

// Of the last tile one warpgroup has no rows on Hopper, and only lets the others go on: nothing but that keeps its warps together.
// Where one of them fell behind by a whole ring of stages, the kernel never ended.
TEST_F(CudaRacesTest, ProductsWhoseLastTileIsNotWhole) {
  const std::int64_t width = 1024, inner = 4096;
  const Tensor many = numbers({8000, width}), some = many.slice(0, 0, 1600);
  const Weight q = weight(width, width), k = weight(width, width), v = weight(width, width);
  const Weight gate = weight(width, inner), up = weight(width, inner);
  Ops& ops = device_->ops();
  repeat("8000 rows", [&] { return std::vector<Tensor>{ops.linear(many, q)}; });
  repeat("1600 rows", [&] { return std::vector<Tensor>{ops.linear(some, q)}; });
  repeat("gate and up",
         [&] { return std::vector<Tensor>{ops.gated_linear(some, gate, up, RowClass::many)}; });
  repeat("three", [&] {
    const auto all = ops.linear_three(some, {&q, &k, &v}, RowClass::many);
    return std::vector<Tensor>(all.begin(), all.end());
  });
}

// The same of attention: the last tile of each segment has queries for one warpgroup of three.
TEST_F(CudaRacesTest, AttentionWhoseLastTilesAreNotWhole) {
  const std::int64_t rows = 8000, heads = 16, dim = 64;
  const Tensor q = numbers({rows, heads, dim}), k = numbers({rows, heads, dim}),
               v = numbers({rows, heads, dim});
  const std::vector<std::int32_t> segments{0, 1600, 3200, 4800, 6400, 8000};
  repeat("attention", [&] {
    return std::vector<Tensor>{device_->ops().attention(q, k, v, {.scale = 0.125f, .segments = segments})};
  });
}

// The same over pages, where warps tell one by one that they have used a stage.
TEST_F(CudaRacesTest, PagedAttentionWhoseLastTileIsNotWhole) {
  constexpr int kRows = 1600, kHeads = 16, kKvHeads = 8, kDim = 128, kPage = 32, kPages = kRows / kPage;
  const auto store = device_->make_kv_store({1, kKvHeads, kDim, kPages, kPage, DType::bf16});
  std::vector<std::int32_t> slots(kRows);
  std::iota(slots.begin(), slots.end(), 0);
  const auto ints = [&](std::span<const std::int32_t> values, const Shape& shape) {
    return keep(values.data(), shape, DType::i32);
  };
  const Tensor kv = numbers({kRows, kKvHeads, kDim}), q = numbers({kRows, kHeads, kDim});
  device_->ops().kv_write(kv, kv, *store, 0, ints(slots, {kRows}));
  const std::int32_t starts[] = {0, kRows};
  PagedBatch batch{.max_rows = kRows, .max_context = kRows, .rows = RowClass::many};
  batch.row_starts = ints(starts, {2});
  batch.context_lens = ints({starts + 1, 1}, {1});
  batch.page_table = ints({slots.data(), kPages}, {1, kPages});
  repeat("pages",
         [&] { return std::vector<Tensor>{device_->ops().attention_paged(q, *store, 0, batch, 0.09f)}; });
}

// A recorded product may compute the norm before it, in each of its blocks, but not where some of them would write over what
// others have yet to read.
TEST_F(CudaRacesTest, AProductMayTakeThePlaceOfWhatANormHasRead) {
  const std::int64_t hidden = 1536, inner = 8192;
  const Tensor a = numbers({1, hidden}), first = norm(hidden), second = norm(hidden);
  const Weight o = weight(hidden, hidden), gate = weight(hidden, inner), up = weight(hidden, inner);
  const Tensor h = numbers({1, hidden}), wide = numbers({1, inner}), other = numbers({1, inner});
  const Tensor x = wide.slice(1, 0, hidden);
  Ops& ops = device_->ops();
  const LinearOptions few{.activation = {}, .residual = {}, .out = {}, .rows = RowClass::few};
  const auto add_norm = [&] {
    const ArenaScope scope(*device_);
    device_->scratch({4096}, DType::bf16);
    ops.add_norm(x, ops.linear(a, o, few), first, second, 1e-5f, h);
  };
  // Its results lie around those of the product before, which have been given back.
  compare_recorded({h, wide, other}, 20, [&] {
    add_norm();
    const ArenaScope scope(*device_);
    device_->copy(ops.gated_linear(h, gate, up, RowClass::few), other);
  });
  // They replace the residual stream.
  compare_recorded({h, wide}, 20, [&] {
    add_norm();
    LinearOptions options = few;
    options.out = wide;
    ops.linear(h, gate, options);
  });
}

// Products of the same rows may become one launch, whose blocks have no order: not where the results of one take the place of
// those of another.
TEST_F(CudaRacesTest, AProductMayReplaceTheResultsOfAnother) {
  const std::int64_t in = 1536, out = 8192, columns = 16;
  for (const std::int64_t rows : {1, 3}) {
    const Tensor x = numbers({rows, in}), y = numbers({rows, out});
    const Weight all = weight(in, out), last = weight(in, columns);
    const auto product = [&](const Weight& w, const Tensor& to) {
      LinearOptions options{.rows = RowClass::few};
      options.out = to;
      device_->ops().linear(x, w, options);
    };
    compare_recorded({y}, 200, [&] {
      product(all, y);
      product(last, y.slice(1, out - columns, out));
    });
  }
}

}  // namespace
}  // namespace glmocr
