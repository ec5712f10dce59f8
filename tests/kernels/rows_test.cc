// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <numeric>
#include <utility>

#include "kernel_test.h"

// A row's result depends on its own row alone, bit for bit: not on how many rows run with it, nor on how the
// rows of a sequence are grouped into steps, nor on the number of threads.
namespace glmocr::test {
namespace {

using Bytes = std::vector<std::byte>;

Bytes bytes_of(Device& device, const Tensor& t) {
  Bytes bytes(t.bytes());
  device.download(t, bytes.data());
  return bytes;
}

// Rows [begin, end) of a matrix of `columns` values.
Bytes rows_of(const Bytes& matrix, std::int64_t begin, std::int64_t end, std::int64_t row_bytes) {
  return Bytes(matrix.begin() + begin * row_bytes, matrix.begin() + end * row_bytes);
}

class RowsTest : public KernelTest {
 protected:
  std::unique_ptr<Device> open(int threads) {
    return open_device(std::get<0>(GetParam()), {.threads = threads});
  }
};

class LinearRowsTest : public RowsTest {
 protected:
  struct Case {
    std::int64_t in, out;
    DType weight_type;
    bool extras;             // bias, activation and residual
    bool as_stored = false;  // weights as a memory limit leaves them
  };

  Tensor run(Device& device, const Tensor& x, Weight weight, const Tensor& bias, const Tensor& residual,
             RowClass rows) {
    LinearOptions options;
    options.rows = rows;
    if (residual) {
      weight.bias = bias;
      options.activation = Activation::silu;
      options.residual = residual;
    }
    return device.ops().linear(x, weight, options);
  }

  // Rows whose values come in pairs with equal factors of opposite sign in the weights, in random places:
  // products cancel, and what is left shows the order of the sum.
  std::pair<Numbers, Numbers> cancelling(std::int64_t rows, const Case& c) {
    Numbers x = random(rows * c.in), w = random_grid(c.out * c.in);
    std::vector<std::int64_t> places(c.in);
    std::iota(places.begin(), places.end(), 0);
    std::shuffle(places.begin(), places.end(), random_);
    for (std::int64_t i = 0; i + 1 < c.in; i += 2) {
      for (std::int64_t r = 0; r < rows; ++r) x[r * c.in + places[i]] = x[r * c.in + places[i + 1]];
      for (std::int64_t r = 0; r < c.out; ++r) w[r * c.in + places[i]] = -w[r * c.in + places[i + 1]];
    }
    return {std::move(x), std::move(w)};
  }

  // All rows of x in slices of `count` against each of them alone (few), or against all in one call (many).
  void check(const Case& c, RowClass rows, std::int64_t all, const std::vector<std::int64_t>& counts) {
    SCOPED_TRACE(std::to_string(c.in) + " → " + std::to_string(c.out) + " " +
                 std::string(to_string(c.weight_type)));
    const auto [x, w] = cancelling(all, c);
    const Numbers b = random(c.out), more = random(all * c.out);
    const std::int64_t row_bytes = c.out * size_of(dtype_);
    Bytes expected;
    for (const int threads : {1, 2, 3}) {
      const std::unique_ptr<Device> device = open(threads);
      const Tensor xs = make(*device, x, {all, c.in}, dtype_, 3),
                   bias = make(*device, b, {c.out}, DType::f32);
      const Tensor residual = c.extras ? make(*device, more, {all, c.out}, dtype_) : Tensor{};
      const Weight weight = make_weight(*device, w, c.out, c.in, c.weight_type, use_of(*device, c.as_stored));
      const auto part = [&](std::int64_t begin, std::int64_t end) {
        const ArenaScope scope(*device);
        return bytes_of(*device, run(*device, xs.slice(0, begin, end), weight, bias,
                                     residual ? residual.slice(0, begin, end) : residual, rows));
      };
      if (expected.empty()) {
        if (rows == RowClass::many) expected = part(0, all);
        for (std::int64_t r = 0; rows == RowClass::few && r < all; ++r) {
          const Bytes row = part(r, r + 1);
          expected.insert(expected.end(), row.begin(), row.end());
        }
      }
      for (const std::int64_t count : counts) {
        for (const std::int64_t begin : {std::int64_t{0}, (all - count) / 2, all - count}) {
          EXPECT_EQ(part(begin, begin + count), rows_of(expected, begin, begin + count, row_bytes))
              << count << " rows from " << begin << ", threads " << threads;
        }
      }
    }
  }
};

TEST_P(LinearRowsTest, Few) {
  const std::vector<std::int64_t> counts{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 33, 64};
  for (const Case& c :
       {Case{1, 1, DType::bf16, false}, Case{33, 17, DType::bf16, true}, Case{320, 67, DType::bf16, false},
        Case{513, 130, DType::bf16, true}, Case{2100, 42, DType::bf16, false},
        Case{4608, 21, DType::bf16, true}, Case{320, 67, DType::f32, true}, Case{2500, 30, DType::f16, false},
        Case{513, 70, DType::bf16, true, true}, Case{64, 16400, DType::bf16, false}}) {
    check(c, RowClass::few, 64, counts);
  }
}

TEST_P(LinearRowsTest, Many) {
  const std::vector<std::int64_t> counts{1,   2,   17,  18,  31,  63,  64,  65,
                                         127, 129, 200, 257, 300, 511, 513, 600};
  for (const Case& c :
       {Case{1, 1, DType::bf16, false}, Case{33, 17, DType::bf16, true}, Case{257, 130, DType::bf16, false},
        Case{320, 320, DType::bf16, true}, Case{1500, 66, DType::bf16, false},
        Case{64, 1100, DType::bf16, false}, Case{96, 67, DType::f32, true}, Case{270, 40, DType::f16, false},
        Case{257, 67, DType::bf16, true, true}}) {
    check(c, RowClass::many, 600, counts);
  }
}

class AttentionRowsTest : public RowsTest {
 protected:
  struct Sizes {
    std::int64_t heads, kv_heads, dim, page_size;
  };
  // Queries, keys and values of all tokens of a sequence, and its pages.
  struct Sequence {
    Numbers q, k, v;
    std::vector<std::int32_t> pages;
  };
  struct Rows {
    const Sequence* sequence;
    std::int64_t begin, end;  // tokens that run in the step
  };

  Sequence sequence(const Sizes& s, std::int64_t tokens, std::vector<std::int32_t>& free_pages) {
    Sequence made{random(tokens * s.heads * s.dim, -2, 2),
                  random(tokens * s.kv_heads * s.dim, -2, 2),
                  random(tokens * s.kv_heads * s.dim),
                  {}};
    for (std::int64_t t = 0; t < tokens; t += s.page_size) {
      made.pages.push_back(free_pages.back());
      free_pages.pop_back();
    }
    return made;
  }

  // Pages 0 … count − 1 in random order.
  std::vector<std::int32_t> shuffled(std::int64_t count) {
    std::vector<std::int32_t> pages(count);
    std::iota(pages.begin(), pages.end(), 0);
    std::shuffle(pages.begin(), pages.end(), random_);
    return pages;
  }

  static std::unique_ptr<KvStore> make_store(Device& device, const Sizes& s, std::int64_t pages,
                                             DType dtype) {
    return device.make_kv_store({1, static_cast<int>(s.kv_heads), static_cast<int>(s.dim), pages,
                                 static_cast<int>(s.page_size), dtype});
  }

  static Numbers tokens(const Numbers& all, std::int64_t begin, std::int64_t end, std::int64_t width) {
    return Numbers(all.begin() + begin * width, all.begin() + end * width);
  }

  void write(Device& device, const Sizes& s, KvStore& store, const Rows& rows) {
    const std::int64_t n = rows.end - rows.begin, width = s.kv_heads * s.dim;
    if (n == 0) return;
    std::vector<std::int32_t> slots;
    for (std::int64_t t = rows.begin; t < rows.end; ++t) {
      const std::int64_t page = rows.sequence->pages[t / s.page_size];
      slots.push_back(static_cast<std::int32_t>(page * s.page_size + t % s.page_size));
    }
    const Shape shape{n, s.kv_heads, s.dim};
    device.ops().kv_write(make(device, tokens(rows.sequence->k, rows.begin, rows.end, width), shape, dtype_),
                          make(device, tokens(rows.sequence->v, rows.begin, rows.end, width), shape, dtype_),
                          store, 0, make_ints(device, slots, {n}));
  }

  // One step: keys and values are written, then all rows attend. The results of all rows.
  Bytes step(Device& device, const Sizes& s, KvStore& store, const std::vector<Rows>& all, RowClass rows) {
    const ArenaScope scope(device);
    Numbers q;
    std::vector<std::int32_t> starts{0}, contexts, table;
    std::int64_t width = 0;
    PagedBatch batch;
    for (const Rows& r : all) width = std::max(width, std::ssize(r.sequence->pages));
    for (const Rows& r : all) {
      write(device, s, store, r);
      const Numbers own = tokens(r.sequence->q, r.begin, r.end, s.heads * s.dim);
      q.insert(q.end(), own.begin(), own.end());
      const int count = static_cast<int>(r.end - r.begin), context = static_cast<int>(r.end);
      starts.push_back(starts.back() + count);
      contexts.push_back(context);
      batch.max_rows = std::max(batch.max_rows, count);
      batch.max_context = std::max(batch.max_context, context);
      std::vector<std::int32_t> pages = r.sequence->pages;
      pages.resize(width, -1);
      table.insert(table.end(), pages.begin(), pages.end());
    }
    const std::int64_t sequences = std::ssize(all);
    batch.row_starts = make_ints(device, starts, {sequences + 1});
    batch.context_lens = make_ints(device, contexts, {sequences});
    batch.page_table = make_ints(device, table, {sequences, width});
    batch.rows = rows;
    const Tensor queries = make(device, q, {starts.back(), s.heads, s.dim}, dtype_);
    return bytes_of(device, device.ops().attention_paged(queries, store, 0, batch, 0.125f));
  }

  // The tokens from `first` on in groups of the given sizes: the results of all of them.
  Bytes in_groups(Device& device, const Sizes& s, const Sequence& sequence, std::int64_t pages,
                  std::int64_t first, const std::vector<std::int64_t>& groups, RowClass rows) {
    const std::unique_ptr<KvStore> store = make_store(device, s, pages, dtype_);
    write(device, s, *store, {&sequence, 0, first});
    Bytes results;
    for (const std::int64_t count : groups) {
      const Bytes own = step(device, s, *store, {{&sequence, first, first + count}}, rows);
      results.insert(results.end(), own.begin(), own.end());
      first += count;
    }
    return results;
  }
};

TEST_P(AttentionRowsTest, FewRowsInEveryGrouping) {
  const std::vector<std::int64_t> single(16, 1);
  for (const Sizes& s : {Sizes{4, 2, 64, 16}, Sizes{3, 1, 48, 1}, Sizes{18, 1, 128, 64}, Sizes{40, 2, 16, 7},
                         Sizes{2, 2, 33, 512}, Sizes{2, 1, 128, 64}}) {
    for (const std::int64_t first : {0, 1, 60, 500, 1017}) {
      SCOPED_TRACE(std::to_string(s.heads) + "/" + std::to_string(s.kv_heads) + " heads of " +
                   std::to_string(s.dim) + ", page " + std::to_string(s.page_size) + ", after " +
                   std::to_string(first) + " tokens");
      const std::int64_t pages = (first + 16) / s.page_size + 2;
      std::vector<std::int32_t> free_pages = shuffled(pages);
      const Sequence own = sequence(s, first + 16, free_pages);
      const Bytes expected = in_groups(*open(1), s, own, pages, first, single, RowClass::few);
      for (const int threads : {1, 2, 3}) {
        const std::unique_ptr<Device> device = open(threads);
        for (const std::vector<std::int64_t>& groups :
             {single, {16}, {3, 5, 8}, {15, 1}, {2, 2, 12}, {1, 14, 1}}) {
          EXPECT_EQ(in_groups(*device, s, own, pages, first, groups, RowClass::few), expected)
              << "first group of " << groups[0] << ", threads " << threads;
        }
      }
    }
  }
}

// Sequences of different lengths decode together, one of them in groups, and a prompt of 512 rows runs in
// between.
TEST_P(AttentionRowsTest, FewRowsBesideOtherSequences) {
  const Sizes s{4, 2, 64, 16};
  const std::int64_t pages = 200;
  std::vector<std::int32_t> free_pages = shuffled(pages);
  const std::int64_t contexts[] = {510, 3, 900};
  std::vector<Sequence> sequences;
  for (const std::int64_t context : contexts) sequences.push_back(sequence(s, context + 16, free_pages));
  const Sequence prompt = sequence(s, 512, free_pages);
  std::vector<Bytes> expected;
  for (std::int64_t i = 0; i < 3; ++i) {
    expected.push_back(in_groups(*tested_, s, sequences[i], pages, contexts[i],
                                 std::vector<std::int64_t>(16, 1), RowClass::few));
  }
  const std::unique_ptr<KvStore> store = make_store(*tested_, s, pages, dtype_);
  for (std::int64_t i = 0; i < 3; ++i) write(*tested_, s, *store, {&sequences[i], 0, contexts[i]});
  const std::int64_t row_bytes = s.heads * s.dim * size_of(dtype_);
  for (std::int64_t t = 0; t < 16;
       t += 4) {  // the first takes four rows at once, the last none in some steps
    const std::int64_t last = t == 8 ? 0 : 1;
    const Bytes together = step(*tested_, s, *store,
                                {{&sequences[0], contexts[0] + t, contexts[0] + t + 4},
                                 {&sequences[1], contexts[1] + t / 4, contexts[1] + t / 4 + 1},
                                 {&sequences[2], contexts[2], contexts[2] + last}},
                                RowClass::few);
    step(*tested_, s, *store, {{&prompt, 0, 512}}, RowClass::many);
    EXPECT_EQ(rows_of(together, 0, 4, row_bytes), rows_of(expected[0], t, t + 4, row_bytes));
    EXPECT_EQ(rows_of(together, 4, 5, row_bytes), rows_of(expected[1], t / 4, t / 4 + 1, row_bytes));
    EXPECT_EQ(rows_of(together, 5, 5 + last, row_bytes), rows_of(expected[2], 0, last, row_bytes));
  }
}

TEST_P(AttentionRowsTest, ManyRowsInEveryGrouping) {
  for (const Sizes& s : {Sizes{4, 2, 64, 16}, Sizes{3, 1, 48, 1}, Sizes{16, 1, 32, 512}}) {
    for (const std::int64_t first : {0, 70}) {
      SCOPED_TRACE(std::to_string(s.heads) + " heads, page " + std::to_string(s.page_size) + ", after " +
                   std::to_string(first) + " tokens");
      const std::int64_t rows = 300, pages = (first + rows) / s.page_size + 2;
      std::vector<std::int32_t> free_pages = shuffled(pages);
      const Sequence own = sequence(s, first + rows, free_pages);
      const Bytes expected = in_groups(*open(1), s, own, pages, first, {rows}, RowClass::many);
      for (const int threads : {1, 2, 3}) {
        const std::unique_ptr<Device> device = open(threads);
        for (const std::vector<std::int64_t>& groups :
             std::vector<std::vector<std::int64_t>>{{300}, {17, 283}, {100, 200}, {150, 1, 149}}) {
          EXPECT_EQ(in_groups(*device, s, own, pages, first, groups, RowClass::many), expected)
              << "first group of " << groups[0] << ", threads " << threads;
        }
      }
    }
  }
}

// What later rows of the step wrote does not reach earlier rows, whatever it is.
TEST_P(AttentionRowsTest, LaterRowsDoNotReachEarlierOnes) {
  const Sizes s{4, 2, 64, 16};
  const std::int64_t row_bytes = s.heads * s.dim * size_of(dtype_), pages = 40;
  for (const RowClass rows : {RowClass::few, RowClass::many}) {
    const std::int64_t count = rows == RowClass::few ? 16 : 100, before = count / 2;
    std::vector<std::int32_t> free_pages = shuffled(pages);
    Sequence own = sequence(s, 40 + count, free_pages);
    const Bytes expected = in_groups(*tested_, s, own, pages, 40, {count}, rows);
    const std::int64_t width = s.kv_heads * s.dim;
    std::fill(own.k.begin() + (40 + before) * width, own.k.end(), NAN);
    std::fill(own.v.begin() + (40 + before) * width, own.v.end(), NAN);
    const Bytes actual = in_groups(*tested_, s, own, pages, 40, {count}, rows);
    EXPECT_EQ(rows_of(actual, 0, before, row_bytes), rows_of(expected, 0, before, row_bytes));
    EXPECT_NE(rows_of(actual, before, before + 1, row_bytes),
              rows_of(expected, before, before + 1, row_bytes));
  }
}

// Attention over segments: alone, beside others, on one thread and several.
TEST_P(AttentionRowsTest, Segments) {
  const std::int64_t n = 260, heads = 2, dim = 64, row_bytes = heads * dim * size_of(dtype_);
  const Numbers qkv = random((n + 90) * 3 * heads * dim, -2, 2);
  Bytes expected;
  for (const int threads : {1, 2, 3}) {
    const std::unique_ptr<Device> device = open(threads);
    const Tensor all = make(*device, qkv, {n + 90, 3 * heads, dim}, dtype_);
    const auto run = [&](std::int64_t rows, const std::vector<std::int32_t>& segments) {
      const Tensor some = all.slice(0, 0, rows);
      AttentionOptions options;
      options.scale = 0.125f;
      options.segments = segments;
      return bytes_of(*device,
                      device->ops().attention(some.slice(1, 0, heads), some.slice(1, heads, 2 * heads),
                                              some.slice(1, 2 * heads, 3 * heads), options));
    };
    const Bytes alone = run(n, {0, 260});
    if (expected.empty()) expected = alone;
    EXPECT_EQ(alone, expected) << threads;
    EXPECT_EQ(rows_of(run(n + 90, {0, 260, 261, 350}), 0, n, row_bytes), expected) << threads;
  }
}

GLMOCR_KERNEL_SUITE(LinearRowsTest);
GLMOCR_KERNEL_SUITE(AttentionRowsTest);

}  // namespace
}  // namespace glmocr::test
