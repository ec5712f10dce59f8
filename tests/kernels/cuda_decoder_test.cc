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

constexpr int kPage = 32, kDim = 128, kLayers = 4;

struct Sizes {
  std::int64_t hidden, inner;
  int kv_heads;
};

class CudaDecoderTest : public testing::Test {
 protected:
  void SetUp() override {
    if (available_cuda_devices().empty()) GTEST_SKIP() << "this machine has no card, or this build no CUDA";
    device_ = open_device(available_cuda_devices().front());
    if (!device_->isa().ends_with("a")) GTEST_SKIP() << "written for cards of Hopper";
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
  std::unique_ptr<KvStore> make_store(const Sizes& sizes, std::int64_t pages, int page = kPage) {
    auto store = device_->make_kv_store({kLayers, sizes.kv_heads, kDim, pages, page, DType::bf16});
    const std::int64_t slots = pages * page;
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
  std::vector<std::byte> kept(KvStore& store, const PagedBatch& batch) {
    const ArenaScope scope(*device_);
    std::vector<std::byte> all;
    random_ = 7;
    const std::int64_t rows = batch.context_lens.numel();
    const Tensor q = numbers({rows, 2 * std::int64_t{store.spec().kv_heads}, kDim}, 1);
    for (int layer = 0; layer < kLayers; ++layer) {
      const auto one = bytes(device_->ops().attention_paged(q, store, layer, batch, 0.09f));
      all.insert(all.end(), one.begin(), one.end());
    }
    return all;
  }

  // A row with this context. One below zero has ended: nothing is kept of it.
  void compare(const Sizes& sizes, int context) {
    SCOPED_TRACE(testing::Message() << "context " << context);
    owners_.erase(owners_.begin() + static_cast<std::ptrdiff_t>(kept_owners_), owners_.end());
    const std::int32_t length = std::abs(context), last = length - 1, total = divide_up(length, kPage);
    std::vector<std::int32_t> table(total), positions{last, last + 1, last + 2};
    for (std::int32_t p = 0; p < total; ++p) table[p] = total - 1 - p;
    const std::int32_t slot_of_row = context > 0 ? table[last / kPage] * kPage + last % kPage : -1;
    PagedBatch batch;
    batch.row_starts = ints({0, 1}, {2});
    batch.context_lens = ints({length}, {1});
    batch.page_table = ints(table, {1, total});
    batch.max_rows = 1;
    batch.max_context = std::int64_t{total} * kPage;
    batch.rows = RowClass::few;
    std::vector<float> frequencies(kDim / 2);
    std::vector<std::int32_t> axes(kDim / 2);
    for (int i = 0; i < kDim / 2; ++i) {
      frequencies[i] = std::pow(10000.0f, -static_cast<float>(i) / (kDim / 2));
      axes[i] = i % 3;
    }
    const ArenaScope scope(*device_);
    const Tensor inverse = keep(frequencies.data(), {kDim / 2}, DType::f32), axis = ints(axes, {kDim / 2});
    const Tensor rotary = device_->ops().rotary_table(ints(positions, {3, 1}), inverse, axis, DType::bf16);
    const Tensor slot = ints({slot_of_row}, {1});
    std::vector<std::byte> x[2], h[2], stored[2];
    for (const bool at_once : {false, true}) {
      random_ = static_cast<std::uint32_t>(context + 1000);
      const auto store = make_store(sizes, total);
      const DecoderRows both{numbers({1, sizes.hidden}, 1), numbers({1, sizes.hidden}, 1)};
      const DecoderPlace place{*store, slot, rotary, batch, 1e-5f, 0.0884f};
      if (at_once) {
        ASSERT_TRUE(device_->ops().decoder_layers(both, blocks_, place));
      } else {
        const ArenaScope inner(*device_);
        decoder_layers_one_by_one(device_->ops(), both, blocks_, place);
      }
      x[at_once] = bytes(both.x);
      h[at_once] = bytes(both.h);
      stored[at_once] = kept(*store, batch);
    }
    EXPECT_TRUE(x[0] == x[1]);
    EXPECT_TRUE(h[0] == h[1]);
    EXPECT_TRUE(stored[0] == stored[1]);
  }

  // Rows of sequences with these contexts, one below zero has ended; behind them a row that belongs to none. As the operations, at once
  // and in a recorded step; that one goes on with the next tokens.
  void compare_rows(const Sizes& sizes, const std::vector<int>& contexts, int page) {
    SCOPED_TRACE(testing::Message() << "page " << page);
    const auto count = static_cast<std::int32_t>(contexts.size()), rows = count + 1;
    std::int32_t pages = 1;
    for (const int context : contexts) pages = std::max(pages, divide_up(std::abs(context) + 1, page));
    std::vector<std::int32_t> table(std::size_t{1} * count * pages), starts(count + 1), lengths(count),
        slots(rows, -1);
    for (std::size_t i = 0; i < table.size(); ++i) table[i] = static_cast<std::int32_t>(table.size() - 1 - i);
    std::iota(starts.begin(), starts.end(), 0);
    PagedBatch batch;
    batch.row_starts = ints(starts, {count + 1});
    batch.context_lens = ints(lengths, {count});
    batch.page_table = ints(table, {count, pages});
    batch.max_rows = 1;
    batch.max_context = std::int64_t{pages} * page;
    batch.rows = RowClass::few;
    const Tensor slot = ints(slots, {rows}), rotary = keep_angles(rows);
    const DecoderRows both{numbers({rows, sizes.hidden}, 1), numbers({rows, sizes.hidden}, 1)};
    const std::vector<std::byte> x = bytes(both.x), h = bytes(both.h);
    // As it was before the first token, and which token comes next.
    const auto begin = [&] {
      device_->upload(x.data(), both.x);
      device_->upload(h.data(), both.h);
    };
    const auto take_token = [&](int step) {
      for (std::int32_t i = 0; i < count; ++i) {
        const int last = std::abs(contexts[i]) + step - 1;
        lengths[i] = last + 1;
        if (contexts[i] > 0) slots[i] = table[i * pages + last / page] * page + last % page;
      }
      device_->upload(lengths.data(), batch.context_lens);
      device_->upload(slots.data(), slot);
    };
    const auto store = [&] {
      random_ = 1234;
      return make_store(sizes, std::int64_t{count} * pages, page);
    };
    std::vector<std::vector<std::byte>> expected;
    const auto results = [&](KvStore& of) {
      return std::vector<std::vector<std::byte>>{bytes(both.x), bytes(both.h), kept(of, batch)};
    };
    for (const int way : {0, 1, 2}) {
      SCOPED_TRACE(testing::Message() << "way " << way);
      const auto own = store();
      const DecoderPlace place{*own, slot, rotary, batch, 1e-5f, 0.0884f};
      begin();
      for (int step = 0; step < 2; ++step) {
        take_token(step);
        if (way == 0) {
          const ArenaScope scope(*device_);
          decoder_layers_one_by_one(device_->ops(), both, blocks_, place);
        } else if (way == 1) {
          const ArenaScope scope(*device_);
          ASSERT_TRUE(device_->ops().decoder_layers(both, blocks_, place));
        } else {
          device_->run_step(StepKey{.rows = rows}, [&] {
            const ArenaScope scope(*device_);
            EXPECT_TRUE(device_->ops().decoder_layers(both, blocks_, place));
          });
        }
        const auto found = results(*own);
        if (way == 0) {
          expected.insert(expected.end(), found.begin(), found.end());
        } else {
          for (int i = 0; i < 3; ++i) EXPECT_TRUE(found[i] == expected[3 * step + i]) << step << ", " << i;
        }
      }
    }
    device_->forget_steps();
  }
  // Of rows at different places.
  Tensor keep_angles(std::int64_t rows) {
    std::vector<float> values(2 * rows * (kDim / 2));
    for (std::size_t i = 0; i < values.size() / 2; ++i) {
      const float angle = next(0, 6);
      values[i] = to_float(to_bf16(std::cos(angle)));
      values[i + values.size() / 2] = to_float(to_bf16(std::sin(angle)));
    }
    return keep(values.data(), {2, rows, kDim / 2}, DType::f32);
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
  for (const int context : {1, 2, 63, 64, 65, 500, 513, 1100, -300}) compare(sizes, context);
}

TEST_F(CudaDecoderTest, OtherSizes) {
  const Sizes sizes{1120, 2240, 3};
  make_blocks(sizes);
  for (const int context : {1, 100, 3000}) compare(sizes, context);
}

// Layers take turns with two places for what blocks hand each other: the third uses the first one again, and a launch finds
// them as the one before has left them, after however many layers.
TEST_F(CudaDecoderTest, AnyNumberOfLayers) {
  const Sizes sizes{1120, 2240, 3};
  make_blocks(sizes);
  const std::vector<DecoderBlock> all = blocks_;
  for (const int layers : {1, 4, 3, 2, 1}) {
    SCOPED_TRACE(testing::Message() << layers << " layers");
    blocks_.assign(all.begin(), all.begin() + layers);
    for (const int context : {1, 100, -100}) compare(sizes, context);
  }
}

TEST_F(CudaDecoderTest, SeveralRows) {
  const Sizes sizes{512, 640, 2};
  make_blocks(sizes);
  for (const int page : {32, 64}) compare_rows(sizes, {1, 31, 32, 63, 64, 500, -70, 130}, page);
  compare_rows(sizes, std::vector<int>(40, 190), 32);
}

// A step that writes keys and tables before attention reads them waits for that, however often it is replayed.
TEST_F(CudaDecoderTest, WhatAStepWritesIsReadBehindIt) {
  const Sizes sizes{512, 640, 2};
  const auto store = make_store(sizes, 16);
  const std::int64_t slots = 16 * kPage;
  std::vector<std::int32_t> all(slots), table(16);
  std::iota(all.begin(), all.end(), 0);
  std::iota(table.begin(), table.end(), 0);
  PagedBatch batch;
  batch.row_starts = ints({0, 1}, {2});
  batch.context_lens = ints({0}, {1});
  batch.page_table = ints(table, {1, 16});
  batch.max_rows = 1;
  batch.max_context = slots;
  batch.rows = RowClass::few;
  const Tensor slot = ints(all, {slots}), length = ints({500}, {1});
  const Tensor keys = numbers({slots, 2, kDim}, 1), q = numbers({1, 4, kDim}, 1),
               y = numbers({1, 4 * kDim}, 1);
  const auto body = [&] {
    const ArenaScope scope(*device_);
    device_->copy(length, batch.context_lens);
    device_->ops().kv_write(keys, keys, *store, 0, slot);
    device_->copy(device_->ops().attention_paged(q, *store, 0, batch, 0.09f), y);
  };
  for (int i = 0; i < 6; ++i) {
    const std::int32_t tokens = 500 - 60 * i;
    const auto own = bytes(numbers({slots, 2, kDim}, 1));
    device_->upload(own.data(), keys);
    device_->upload(&tokens, length);
    body();
    const auto expected = bytes(y);
    const auto other = bytes(numbers({slots, 2, kDim}, 1));
    device_->upload(other.data(), keys);
    body();
    device_->upload(own.data(), keys);
    device_->run_step(StepKey{.rows = 1}, body);
    EXPECT_TRUE(bytes(y) == expected) << i;
  }
  device_->forget_steps();
}

TEST_F(CudaDecoderTest, OtherSizesAndSeveralRowsInSmallPagesAreLeftToTheOperations) {
  constexpr int kSmall = 16;
  for (const auto& [sizes, count] : {std::pair{Sizes{512, 2240, 2}, 1}, {Sizes{1120, 2240, 3}, 2}}) {
    blocks_.clear();
    make_blocks(sizes);
    const auto store = make_store(sizes, count, kSmall);
    std::vector<std::int32_t> starts(count + 1), pages(count), slots(count);
    std::iota(starts.begin(), starts.end(), 0);
    std::iota(pages.begin(), pages.end(), 0);
    for (int r = 0; r < count; ++r) slots[r] = r * kSmall;
    PagedBatch batch;
    batch.row_starts = ints(starts, {count + 1});
    batch.context_lens = ints(std::vector<std::int32_t>(count, 1), {count});
    batch.page_table = ints(pages, {count, 1});
    batch.max_rows = 1;
    batch.max_context = kSmall;
    batch.rows = RowClass::few;
    const DecoderRows rows{numbers({count, sizes.hidden}, 1), numbers({count, sizes.hidden}, 1)};
    const DecoderPlace place{*store, ints(slots, {count}), {}, batch, 1e-5f, 0.1f};
    const auto before = bytes(rows.x);
    EXPECT_FALSE(device_->ops().decoder_layers(rows, blocks_, place));
    EXPECT_EQ(bytes(rows.x), before);
  }
}

}  // namespace
}  // namespace glmocr
