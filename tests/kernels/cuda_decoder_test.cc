// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <deque>
#include <numeric>
#include <vector>

#include "base/numbers.h"
#include "kernels/cuda/cuda_device.h"
#include "kernels/kernels.h"

// All layers at once are the operations one after the other, bit for bit: the results, and the keys and values that are kept.
namespace glmocr {
namespace {

constexpr int kPage = 32, kDim = 128, kLayers = 2;

struct Sizes {
  std::int64_t hidden, inner;
  int kv_heads;
};

class CudaDecoderTest : public testing::Test {
 protected:
  void SetUp() override {
    if (available_cuda_devices().empty()) GTEST_SKIP() << "this machine has no card, or this build no CUDA";
    setenv("GLMOCR_CUDA_LAYERS", "1", 1);
    device_ = open_device(available_cuda_devices().front());
    unsetenv("GLMOCR_CUDA_LAYERS");
  }

  Tensor keep(const void* from, const Shape& shape, DType dtype) {
    owners_.push_back(device_->allocate(shape.numel() * size_of(dtype)));
    const Tensor tensor = owners_.back().view(shape, dtype);
    device_->upload(from, tensor);
    return tensor;
  }
  float next(float low, float high) {
    random_ = random_ * 1664525u + 1013904223u;
    return low + (high - low) * static_cast<float>(random_ >> 8) * 0x1p-24f;
  }
  Tensor numbers(const Shape& shape, float size) {
    std::vector<bf16> values(shape.numel());
    for (bf16& value : values) value = to_bf16(next(-size, size));
    return keep(values.data(), shape, DType::bf16);
  }
  Tensor norm(std::int64_t width) {
    std::vector<float> values(width);
    for (float& value : values) value = next(0.5f, 1.5f);
    return keep(values.data(), {width}, DType::f32);
  }
  Tensor ints(const std::vector<std::int32_t>& values, const Shape& shape) {
    return keep(values.data(), shape, DType::i32);
  }
  const Weight* weight(std::int64_t in, std::int64_t out) {
    Buffer none;
    const float size = 2 / std::sqrt(static_cast<float>(in));
    return &weights_.emplace_back(device_->prepare(numbers({out, in}, size), WeightUse::linear, none));
  }
  std::vector<std::byte> bytes(const Tensor& t) {
    std::vector<std::byte> result(t.bytes());
    device_->download(t, result.data());
    return result;
  }

  void make_blocks(const Sizes& sizes) {
    const std::int64_t kv = std::int64_t{sizes.kv_heads} * kDim;
    for (int i = 0; i < kLayers; ++i) {
      blocks_.push_back({.q = weight(sizes.hidden, 2 * kv),
                         .k = weight(sizes.hidden, kv),
                         .v = weight(sizes.hidden, kv),
                         .o = weight(2 * kv, sizes.hidden),
                         .gate = weight(sizes.hidden, sizes.inner),
                         .up = weight(sizes.hidden, sizes.inner),
                         .down = weight(sizes.inner, sizes.hidden),
                         .attention_norm = norm(sizes.hidden),
                         .mlp_input_norm = norm(sizes.hidden),
                         .mlp_norm = norm(sizes.hidden),
                         .next_norm = norm(sizes.hidden)});
    }
    kept_owners_ = owners_.size();
  }
  std::unique_ptr<KvStore> make_store(const Sizes& sizes, std::int64_t pages) {
    auto store = device_->make_kv_store({kLayers, sizes.kv_heads, kDim, pages, kPage, DType::bf16});
    const std::int64_t slots = pages * kPage;
    std::vector<std::int32_t> all(slots);
    std::iota(all.begin(), all.end(), 0);
    const Tensor slot = ints(all, {slots});
    for (int layer = 0; layer < kLayers; ++layer) {
      const ArenaScope scope(*device_);
      device_->ops().kv_write(numbers({slots, sizes.kv_heads, kDim}, 1),
                              numbers({slots, sizes.kv_heads, kDim}, 1), *store, layer, slot);
    }
    return store;
  }

  // Attention over what has been kept shows every key and value.
  std::vector<std::byte> kept(KvStore& store, const PagedBatch& batch, std::int64_t rows) {
    const ArenaScope scope(*device_);
    std::vector<std::byte> all;
    random_ = 7;
    const Tensor q = numbers({rows, 2 * std::int64_t{store.spec().kv_heads}, kDim}, 1);
    for (int layer = 0; layer < kLayers; ++layer) {
      const auto one = bytes(device_->ops().attention_paged(q, store, layer, batch, 0.09f));
      all.insert(all.end(), one.begin(), one.end());
    }
    return all;
  }

  // One row for each context, and `padding` rows that belong to none. A context below zero has ended: nothing is kept of it.
  void compare(const Sizes& sizes, const std::vector<int>& contexts, int padding = 0) {
    SCOPED_TRACE(testing::Message() << contexts.size() << " rows, the first context is " << contexts[0]);
    owners_.erase(owners_.begin() + static_cast<std::ptrdiff_t>(kept_owners_), owners_.end());
    const auto live = static_cast<std::int64_t>(contexts.size()), rows = live + padding;
    std::vector<std::int32_t> lens(rows, 0), slots(rows, -1),
        starts(rows + 1, static_cast<std::int32_t>(live)), positions(3 * rows, 0);
    int pages = 0, total = 0;
    for (const int context : contexts) pages = std::max(pages, divide_up(std::abs(context), kPage));
    std::vector<std::int32_t> table(rows * pages, 0);
    for (std::int64_t r = 0; r < live; ++r) {
      lens[r] = std::abs(contexts[r]);
      starts[r] = static_cast<std::int32_t>(r);
      for (int p = 0; p < divide_up(lens[r], kPage); ++p) table[r * pages + p] = total++;
      const int last = lens[r] - 1;
      if (contexts[r] > 0) slots[r] = table[r * pages + last / kPage] * kPage + last % kPage;
      for (int axis = 0; axis < 3; ++axis) positions[axis * rows + r] = last + axis;
    }
    for (std::int32_t& page : table) page = total - 1 - page;
    for (std::int32_t& slot : slots) {
      if (slot >= 0) slot = (total - 1 - slot / kPage) * kPage + slot % kPage;
    }
    PagedBatch batch;
    batch.row_starts = ints(starts, {rows + 1});
    batch.context_lens = ints(lens, {rows});
    batch.page_table = ints(table, {rows, pages});
    batch.max_rows = 1;
    batch.max_context = pages * kPage;
    batch.rows = RowClass::few;
    std::vector<float> frequencies(kDim / 2);
    std::vector<std::int32_t> axes(kDim / 2);
    for (int i = 0; i < kDim / 2; ++i) {
      frequencies[i] = std::pow(10000.0f, -static_cast<float>(i) / (kDim / 2));
      axes[i] = i % 3;
    }
    const ArenaScope scope(*device_);
    const Tensor inverse = keep(frequencies.data(), {kDim / 2}, DType::f32), axis = ints(axes, {kDim / 2});
    const Tensor rotary = device_->ops().rotary_table(ints(positions, {3, rows}), inverse, axis, DType::bf16);
    const Tensor slot = ints(slots, {rows});
    std::vector<std::byte> x[2], h[2], stored[2];
    for (const bool at_once : {false, true}) {
      random_ = static_cast<std::uint32_t>(contexts[0] + 1000 * rows);
      const auto store = make_store(sizes, total);
      const DecoderRows both{numbers({rows, sizes.hidden}, 1), numbers({rows, sizes.hidden}, 1)};
      const DecoderPlace place{*store, slot, rotary, batch, 1e-5f, 0.0884f};
      if (at_once) {
        ASSERT_TRUE(device_->ops().decoder_layers(both, blocks_, place));
      } else {
        const ArenaScope inner(*device_);
        decoder_layers_one_by_one(device_->ops(), both, blocks_, place);
      }
      x[at_once] = bytes(both.x);
      h[at_once] = bytes(both.h);
      stored[at_once] = kept(*store, batch, rows);
    }
    EXPECT_TRUE(x[0] == x[1]);
    EXPECT_TRUE(h[0] == h[1]);
    EXPECT_TRUE(stored[0] == stored[1]);
  }
  std::vector<int> contexts(int count, int first, int step) {
    std::vector<int> all(count);
    for (int i = 0; i < count; ++i) all[i] = first + i * step;
    return all;
  }

  std::uint32_t random_ = 1;
  std::unique_ptr<Device> device_;
  std::deque<Buffer> owners_;
  std::deque<Weight> weights_;
  std::size_t kept_owners_ = 0;  // those of the blocks
  std::vector<DecoderBlock> blocks_;
};

TEST_F(CudaDecoderTest, ARow) {
  const Sizes sizes{1536, 4608, 8};
  make_blocks(sizes);
  for (const int context : {1, 2, 63, 64, 65, 500, 513, 1100, -300}) compare(sizes, {context});
}

TEST_F(CudaDecoderTest, SomeRows) {
  const Sizes sizes{1536, 4608, 8};
  make_blocks(sizes);
  compare(sizes, {1, 70});
  compare(sizes, contexts(5, 400, 37), 3);
  compare(sizes, {40, 500, -64, 129}, 12);
  compare(sizes, contexts(16, 33, 31));
  compare(sizes, contexts(29, 480, 3), 3);
  compare(sizes, contexts(32, 513, 17));
  compare(sizes, contexts(40, 1, 20));
}

TEST_F(CudaDecoderTest, OtherSizes) {
  const Sizes sizes{1120, 2240, 3};
  make_blocks(sizes);
  for (const int context : {1, 100, 3000}) compare(sizes, {context});
  compare(sizes, contexts(20, 1, 66));
}

TEST_F(CudaDecoderTest, SizesThatDoNotFitAreLeftToTheOperations) {
  const Sizes sizes{512, 2240, 2};
  make_blocks(sizes);
  const auto store = make_store(sizes, 1);
  PagedBatch batch;
  batch.row_starts = ints({0, 1}, {2});
  batch.context_lens = ints({1}, {1});
  batch.page_table = ints({0}, {1, 1});
  batch.max_rows = 1;
  batch.max_context = kPage;
  batch.rows = RowClass::few;
  const DecoderRows rows{numbers({1, 512}, 1), numbers({1, 512}, 1)};
  const DecoderPlace place{*store, ints({0}, {1}), {}, batch, 1e-5f, 0.1f};
  const auto before = bytes(rows.x);
  EXPECT_FALSE(device_->ops().decoder_layers(rows, blocks_, place));
  EXPECT_EQ(bytes(rows.x), before);
}

}  // namespace
}  // namespace glmocr
