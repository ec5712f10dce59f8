// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <numeric>
#include <utility>

#include "kernel_test.h"
#include "support/expect_error.h"

namespace glmocr::test {
namespace {

// A mean of values of at most 1 with weights that sum to 1. Scores of `dim` terms are off by dim · 2^-24 ·
// scale at most, which moves the weights by as much again, and the mean's sum by n · 2^-24 of its weights.
Tolerance mean_of_values(DType dtype, std::int64_t dim, std::int64_t keys) {
  Tolerance t = reduction(dtype, 4 * dim, 1, 1);
  t.absolute += std::sqrt(static_cast<double>(keys)) * kUnit32;
  return t;
}

// Where a device rounds weights to bf16, as it may: each is off by 2^-9 of itself at most, values are `size` at most.
Tolerance with_rounded_weights(Tolerance t, const Device& device, DType dtype, double size) {
  if (dtype == DType::bf16 && (device.name().starts_with("cuda") || device.isa() == "amx")) {
    t.absolute += 0x1p-9 * size;
    t.may_flip = 1;
  }
  return t;
}

class AttentionTest : public KernelTest {
 protected:
  // A weight near a rounding boundary may fall on its other side: 2^-8 of a value of at most `largest`. CUDA
  // rounds other weights (ops.h), so there every weight may differ from ref's by that.
  void allow_rounded_weights(Tolerance& tolerance, double largest) const {
    const bool cuda = std::get<0>(GetParam()).starts_with("cuda");
    tolerance.absolute += largest * kUnitBf16 / (cuda ? 1 : 2);
    if (cuda) tolerance.may_flip = 1;
  }

  void segments(const std::vector<std::int32_t>& starts, std::int64_t heads, std::int64_t dim,
                float sharpness = 1) {
    const std::int64_t n = starts.back();
    const Numbers qkv = random(n * 3 * heads * dim, -sharpness, sharpness);
    const auto op = [&](Device& device) {
      const Tensor all = make(device, qkv, {n, 3 * heads, dim}, dtype_);
      poison(device);
      AttentionOptions options;
      options.scale = 1 / std::sqrt(static_cast<float>(dim));
      options.segments = starts;
      return device.ops().attention(all.slice(1, 0, heads), all.slice(1, heads, 2 * heads),
                                    all.slice(1, 2 * heads, 3 * heads), options);
    };
    Tolerance t = mean_of_values(dtype_, dim, n);
    t.absolute *= sharpness * sharpness * sharpness;
    if (dtype_ == DType::bf16) allow_rounded_weights(t, sharpness);
    compare(op, t,
            std::to_string(n) + " rows, " + std::to_string(starts.size() - 1) + " segments, heads " +
                std::to_string(heads) + ", head_dim " + std::to_string(dim));
  }
};

TEST_P(AttentionTest, OneSegmentOfManyLengths) {
  for (const std::int32_t n : {1, 2, 7, 8, 9, 15, 63, 64, 65, 130, 193}) segments({0, n}, 2, 64);
}

TEST_P(AttentionTest, HeadDims) {
  for (const std::int64_t dim : {1, 3, 16, 32, 48, 80, 128}) {
    segments({0, 5}, 3, dim);
    segments({0, 77}, 3, dim);
  }
}

TEST_P(AttentionTest, SegmentsSeeOnlyThemselves) {
  segments({0, 1, 2, 40, 40, 41, 110}, 2, 32);
  segments({0, 200, 203}, 1, 64);
}

// Some rows of the segments ask, all are asked: the results are those rows of the whole, bit by bit.
TEST_P(AttentionTest, QueriesOfSomeRows) {
  const std::int64_t n = 350, heads = 2, dim = 32;
  const std::vector<std::int32_t> starts{0, 200, 203, 203, 350};
  const Numbers qkv = random(n * 3 * heads * dim, -1, 1);
  for (Device* device : {tested_.get(), ref_.get()}) {
    const ArenaScope scope(*device);
    const Tensor all = make(*device, qkv, {n, 3 * heads, dim}, dtype_);
    const auto run = [&](std::int64_t begin, std::int64_t end, AttentionOptions options) {
      options.scale = 0.2f;
      return download(*device, device->ops().attention(all.slice(1, 0, heads).slice(0, begin, end),
                                                       all.slice(1, heads, 2 * heads),
                                                       all.slice(1, 2 * heads, 3 * heads), options));
    };
    const Numbers whole = run(0, n, {.segments = starts});
    for (const auto& [begin, end] : {std::pair{0, 1}, {0, 350}, {150, 330}, {201, 202}, {203, 209}}) {
      std::vector<std::int32_t> queries;
      for (const std::int32_t start : starts) queries.push_back(std::clamp(start, begin, end) - begin);
      const Numbers some = run(begin, end, {.segments = starts, .query_segments = queries});
      ASSERT_EQ(std::ssize(some), (end - begin) * heads * dim);
      EXPECT_TRUE(std::equal(some.begin(), some.end(), whole.begin() + begin * heads * dim))
          << device->name() << " " << begin << " " << end;
    }
  }
}

TEST_P(AttentionTest, TheResultMayTakeThePlaceOfTheQueries) {
  const std::int64_t n = 330, heads = 3, dim = 16;
  const Numbers q = random(n * heads * dim), kv = random(n * 2 * heads * dim);
  const std::vector<std::int32_t> starts{0, 320, 330};
  for (Device* device : {tested_.get(), ref_.get()}) {
    const ArenaScope scope(*device);
    const Tensor queries = make(*device, q, {n, heads, dim}, dtype_);
    const Tensor keys = make(*device, kv, {n, 2 * heads, dim}, dtype_);
    const auto run = [&](const Tensor& out) {
      return download(
          *device, device->ops().attention(queries, keys.slice(1, 0, heads), keys.slice(1, heads, 2 * heads),
                                           {.scale = 0.3f, .segments = starts, .out = out}));
    };
    const Numbers expected = run({});
    EXPECT_EQ(run(queries.reshape({n, heads * dim})), expected) << device->name();
  }
}

// Weights near 0 and 1: the running maximum changes from block to block.
TEST_P(AttentionTest, SharpScores) { segments({0, 300}, 1, 64, 8); }

// Later keys have far larger scores, in base 2 by up to `rise`: whatever weights are relative to must move, also where they
// would not be finite before it does.
TEST_P(AttentionTest, ScoresThatRise) {
  const std::int64_t n = 300, heads = 2, dim = 64;
  const std::vector<std::int32_t> starts{0, static_cast<std::int32_t>(n)};
  for (const float rise : {10.f, 100.f, 1000.f}) {
    const Numbers q = random(n * heads * dim, 0.5f, 1), v = random(n * heads * dim);
    Numbers k = random(n * heads * dim, 0.5f, 1);
    for (std::int64_t i = 0; i < std::ssize(k); ++i) {
      k[i] *= rise * static_cast<float>(i / (heads * dim)) / static_cast<float>(n);
    }
    Tolerance t = mean_of_values(dtype_, dim, n);
    t.absolute *= rise;
    if (dtype_ == DType::bf16) allow_rounded_weights(t, 1);
    compare(
        [&](Device& device) {
          const auto rows = [&](const Numbers& x) { return make(device, x, {n, heads, dim}, dtype_); };
          return device.ops().attention(rows(q), rows(k), rows(v), {.scale = 1.f / dim, .segments = starts});
        },
        t, "rise " + std::to_string(rise));
  }
}

TEST_P(AttentionTest, OutGoesWhereAsked) {
  const std::int64_t n = 12, dim = 16;
  Device& device = *tested_;
  const Tensor x = make(device, random(n * dim), {n, 1, dim}, dtype_);
  const Tensor wide = make(device, Numbers(static_cast<std::size_t>(n * 2 * dim), 7), {n, 2 * dim}, dtype_);
  const std::vector<std::int32_t> starts{0, 12};
  AttentionOptions options;
  options.segments = starts;
  options.out = wide.slice(1, 0, dim);
  EXPECT_EQ(device.ops().attention(x, x, x, options).data, wide.data);
  const Numbers all = download(device, wide);
  for (std::int64_t r = 0; r < n; ++r) {
    EXPECT_NE(all[r * 2 * dim], 7);
    EXPECT_EQ(all[r * 2 * dim + dim], 7);
  }
}

// Beside its result an attention takes a list of tasks from the arena, never room for scores.
TEST_P(AttentionTest, MemoryDoesNotGrowWithTheSquareOfTheLength) {
  const std::int64_t n = 3000, dim = 8;
  const std::unique_ptr<Device> fresh = open_device(std::get<0>(GetParam()), {.threads = 2});
  Device& device = *fresh;
  const Tensor x = make(device, random(n * dim), {n, 1, dim}, dtype_);
  const std::vector<std::int32_t> starts{0, static_cast<std::int32_t>(n)};
  AttentionOptions options;
  options.segments = starts;
  options.out = device.scratch({n, dim}, dtype_);
  const std::int64_t before = device.arena_peak_bytes();
  device.ops().attention(x, x, x, options);
  EXPECT_LE(device.arena_peak_bytes() - before, 16 << 10);
}

GLMOCR_KERNEL_SUITE(AttentionTest);

// Which values are NaN or infinite.
std::vector<bool> not_finite(const Numbers& values) {
  std::vector<bool> flags;
  for (const float value : values) flags.push_back(!std::isfinite(value));
  return flags;
}

class PagedAttentionTest : public KernelTest {
 protected:
  // The last `rows` of `context` tokens, of which there are keys and values of std::ssize(kv) / (2 · head_dim).
  Numbers run_rows(Device& device, RowClass row_class, std::int32_t rows, std::int32_t context,
                   const Numbers& q, const Numbers& kv) {
    const std::int64_t dim = std::ssize(q) / (2 * rows), page_size = 16, count = std::ssize(kv) / (2 * dim),
                       pages = (count + page_size - 1) / page_size;
    const ArenaScope scope(device);
    const auto store =
        device.make_kv_store({1, 1, static_cast<int>(dim), pages, static_cast<int>(page_size), dtype_});
    std::vector<std::int32_t> slots(count);
    std::iota(slots.begin(), slots.end(), 0);
    const Tensor both = make(device, kv, {count, 2, dim}, dtype_);
    device.ops().kv_write(both.slice(1, 0, 1), both.slice(1, 1, 2), *store, 0,
                          make_ints(device, slots, {count}));
    PagedBatch batch{.max_rows = rows, .max_context = static_cast<int>(count), .rows = row_class};
    batch.row_starts = make_ints(device, {0, rows}, {2});
    batch.context_lens = make_ints(device, {context}, {1});
    batch.page_table = make_ints(device, {slots.begin(), slots.begin() + pages}, {1, pages});
    const Tensor queries = make(device, q, {rows, 2, dim}, dtype_);
    return download(device, device.ops().attention_paged(queries, *store, 0, batch, 0.2f));
  }
  // The same where one of the keys or values holds `bad`.
  Numbers run_spoilt(Device& device, RowClass row_class, std::int32_t rows, std::int32_t context,
                     const Numbers& q, Numbers kv, std::int64_t at, float bad) {
    kv[at * (std::ssize(q) / (2 * rows)) + 5] = bad;
    return run_rows(device, row_class, rows, context, q, kv);
  }

  struct Sequence {
    std::int32_t rows, context;
  };

  // Sequences in shuffled pages, all other slots NaN; keys and values written by kv_write, as in a step.
  void run(const std::vector<Sequence>& sequences, std::int64_t heads, std::int64_t kv_heads,
           std::int64_t dim, std::int64_t page_size) {
    std::vector<std::int32_t> starts{0}, contexts, slots, table;
    std::int64_t max_pages = 0, pages = 1;
    PagedBatch batch;
    for (const Sequence& s : sequences) {
      starts.push_back(starts.back() + s.rows);
      contexts.push_back(s.context);
      const std::int64_t own = (s.context + page_size - 1) / page_size;
      max_pages = std::max(max_pages, own);
      pages += own;
      batch.max_rows = std::max<int>(batch.max_rows, s.rows);
      batch.max_context = std::max<int>(batch.max_context, s.context);
    }
    std::vector<std::int32_t> free_pages(static_cast<std::size_t>(pages));
    std::iota(free_pages.begin(), free_pages.end(), 0);
    std::shuffle(free_pages.begin(), free_pages.end(), random_);
    for (const Sequence& s : sequences) {
      std::vector<std::int32_t> own(static_cast<std::size_t>(max_pages), -1);
      for (std::int32_t i = 0; i < s.context; ++i) {
        std::int32_t& page = own[i / page_size];
        if (page < 0) {
          page = free_pages.back();
          free_pages.pop_back();
        }
        slots.push_back(static_cast<std::int32_t>(page * page_size + i % page_size));
      }
      table.insert(table.end(), own.begin(), own.end());
      table.insert(table.end(), 3, 1 << 20);  // a table wider than the pages that are read
    }
    const std::int64_t table_width = max_pages + 3;
    const auto keys = std::ssize(slots), rows = std::int64_t{starts.back()};
    const Numbers q = random((rows + 2) * heads * dim), kv = random(keys * 2 * kv_heads * dim);
    const auto op = [&](Device& device, RowClass row_class) {
      const auto i32 = [](std::int64_t value) { return static_cast<int>(value); };
      const KvSpec spec{2, i32(kv_heads), i32(dim), pages, i32(page_size), dtype_};
      const std::unique_ptr<KvStore> store = device.make_kv_store(spec);
      std::vector<std::int32_t> all_slots(pages * page_size);
      std::iota(all_slots.begin(), all_slots.end(), 0);
      const Numbers nothing(std::ssize(all_slots) * kv_heads * dim, NAN);
      const Tensor nan = make(device, nothing, {std::ssize(all_slots), kv_heads, dim}, dtype_);
      const Tensor both = make(device, kv, {keys, 2 * kv_heads, dim}, dtype_);
      const Tensor own_keys = both.slice(1, 0, kv_heads), own_values = both.slice(1, kv_heads, 2 * kv_heads);
      for (const int layer : {0, 1}) {
        device.ops().kv_write(nan, nan, *store, layer, make_ints(device, all_slots, {std::ssize(all_slots)}));
      }
      device.ops().kv_write(own_keys, own_values, *store, 1, make_ints(device, slots, {keys}));
      // Rows without a slot leave the store as it is.
      const std::vector<std::int32_t> nowhere(keys, -1);
      device.ops().kv_write(own_values, own_keys, *store, 1, make_ints(device, nowhere, {keys}));
      PagedBatch on_device = batch;
      on_device.rows = row_class;
      const auto count = std::ssize(sequences);
      on_device.row_starts = make_ints(device, starts, {count + 1});
      on_device.context_lens = make_ints(device, contexts, {count});
      on_device.page_table = make_ints(device, table, {count, table_width}).slice(1, 0, max_pages);
      // Two padding rows, which give zeros.
      const Tensor queries = make(device, q, {rows + 2, heads, dim}, dtype_);
      poison(device);
      return device.ops().attention_paged(queries, *store, 1, on_device,
                                          1 / std::sqrt(static_cast<float>(dim)));
    };
    for (const RowClass row_class : {RowClass::few, RowClass::many}) {
      Tolerance t = mean_of_values(dtype_, dim, batch.max_context);
      if (row_class == RowClass::many) t = with_rounded_weights(t, *tested_, dtype_, 1);
      compare([&](Device& device) { return op(device, row_class); }, t,
              std::string(row_class == RowClass::few ? "few, " : "many, ") +
                  std::to_string(sequences.size()) + " sequences, first " +
                  std::to_string(sequences[0].rows) + " of " + std::to_string(sequences[0].context) +
                  ", heads " + std::to_string(heads) + "/" + std::to_string(kv_heads) + ", head_dim " +
                  std::to_string(dim) + ", page " + std::to_string(page_size));
    }
  }
};

TEST_P(PagedAttentionTest, DecodeAroundPageBorders) {
  for (const std::int32_t context : {1, 2, 15, 16, 17, 31, 32, 33, 63, 64, 65, 200})
    run({{1, context}}, 4, 2, 64, 16);
}

TEST_P(PagedAttentionTest, HeadRatiosAndDims) {
  for (const std::int64_t ratio : {1, 2, 3, 8}) {
    for (const std::int64_t dim : {32, 48, 64, 128}) {
      run({{1, 37}}, 2 * ratio, 2, dim, 16);
      run({{20, 37}}, 2 * ratio, 2, dim, 16);
    }
  }
}

TEST_P(PagedAttentionTest, PrefillWholeAndInChunks) {
  run({{1, 1}}, 2, 1, 64, 16);
  run({{33, 33}}, 2, 1, 64, 16);
  run({{130, 130}}, 6, 2, 64, 32);
  run({{50, 170}}, 6, 2, 64, 32);
  run({{210, 250}}, 2, 2, 32, 7);  // a page size that is no power of two
  run({{70, 200}}, 2, 1, 32, 1);
  run({{70, 600}}, 2, 1, 32, 512);
}

// A few rows on top of a context, as drafts are checked.
TEST_P(PagedAttentionTest, FewRows) {
  for (const std::int32_t rows : {2, 3, 4, 5, 9}) run({{rows, 100}}, 4, 2, 64, 16);
}

TEST_P(PagedAttentionTest, MixedBatch) {
  run({{1, 40}, {7, 7}, {1, 1}, {30, 90}, {1, 129}, {0, 20}, {2, 64}}, 6, 2, 64, 16);
}

// Longer than the parts that decode splits its keys into.
TEST_P(PagedAttentionTest, LongContext) {
  run({{1, 511}, {1, 512}, {1, 513}, {2, 1500}}, 3, 1, 32, 32);
  run({{1, 2100}}, 16, 8, 128, 64);
}

// Two heads of 128 that share keys, as the published model has them: whole parts in a page, and parts of several.
TEST_P(PagedAttentionTest, PairsOfHeads) {
  for (const std::int64_t page_size : {64, 7}) {
    run({{1, 40}, {3, 200}, {1, 1}, {2, 513}, {1, 64}}, 4, 2, 128, page_size);
  }
}

// A context holds the rows of its sequence, so each of them sees a key. Otherwise the tables are wrong, which CUDA reports with
// the next result.
TEST_P(PagedAttentionTest, MoreRowsThanContextIsAnError) {
  for (const std::int64_t dim : {32, 128}) {
    for (const std::int32_t context : {-70, 0, 2}) {
      for (const RowClass row_class : {RowClass::few, RowClass::many}) {
        SCOPED_TRACE(std::to_string(context) + " tokens, head_dim " + std::to_string(dim) +
                     (row_class == RowClass::few ? ", few" : ", many"));
        const std::int32_t rows = 3;
        const Numbers q = random(std::int64_t{rows} * 2 * dim), kv = random(std::int64_t{rows} * 2 * dim);
        for (Device* device : {tested_.get(), ref_.get()}) {
          expect_error(ErrorCode::internal, {"context"},
                       [&] { run_rows(*device, row_class, rows, context, q, kv); });
          // The device works on.
          for (const float value : run_rows(*device, row_class, rows, rows, q, kv)) {
            ASSERT_TRUE(std::isfinite(value));
          }
        }
      }
    }
  }
}

// A NaN reaches every row that sees it and no other; the devices agree on it, and on infinity.
TEST_P(PagedAttentionTest, WhatIsNotFiniteIsNotLost) {
  const std::int32_t rows = 3;
  for (const auto& [context, dim] : {std::pair{20, 32}, {150, 32}, {700, 32}, {20, 128}, {150, 128}}) {
    const Numbers q = random(std::int64_t{rows} * 2 * dim), kv = random(std::int64_t{context} * 2 * dim);
    for (std::int64_t at = 0; at < 2 * context; at += context < 100 ? 1 : 37) {
      for (const float bad : {NAN, INFINITY}) {
        for (const RowClass row_class : {RowClass::few, RowClass::many}) {
          SCOPED_TRACE(std::to_string(bad) + (at % 2 == 0 ? " in key " : " in value ") +
                       std::to_string(at / 2) + " of " + std::to_string(context) + ", head_dim " +
                       std::to_string(dim) + (row_class == RowClass::few ? ", few" : ", many"));
          const auto actual = not_finite(run_spoilt(*tested_, row_class, rows, context, q, kv, at, bad));
          EXPECT_EQ(actual, not_finite(run_spoilt(*ref_, row_class, rows, context, q, kv, at, bad)));
          if (std::isnan(bad) && at % 2 == 0) {
            EXPECT_TRUE(actual.back());
          }
        }
      }
    }
  }
}

GLMOCR_KERNEL_SUITE(PagedAttentionTest);

}  // namespace
}  // namespace glmocr::test
