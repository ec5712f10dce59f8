// SPDX-License-Identifier: Apache-2.0
#include "kernels/cpu/simd_gemm.h"
#include "kernels/cpu/simd_kernels.h"
#include "kernels/cpu/simd_words.h"

namespace glmocr::cpu::GLMOCR_ISA {
namespace {

// Depth of one pass: a panel [kDepth, kColumns] stays in the first-level cache while the rows of a pass by.
constexpr int64_t kDepth = 256;
constexpr int64_t kRowPitch = kDepth + 16;  // off the powers of two, so that rows do not share cache sets

// k values of each row of `from`, starting at column `at`, widened to rows of kRowPitch.
void copy_rows(const ConstRows& from, int64_t rows, int64_t at, int64_t k, float* to) {
  with_type(from.type, [&](auto tag) {
    using T = decltype(tag);
    for (int64_t r = 0; r < rows; ++r) {
      const T* p = static_cast<const T*>(from.data) + r * from.stride + at;
      for (int64_t i = 0; i < k; i += kLanes)
        store_some(to + r * kRowPitch + i, load_some(p + i, k - i), k - i);
    }
  });
}

void pack_weights(const ConstRows& from, int64_t count, int64_t at, int64_t k, float* panel) {
  with_type(from.type, [&](auto tag) {
    using T = decltype(tag);
    const T* p = static_cast<const T*>(from.data) + at;
    pack_panel<T>([&](int64_t row) { return p + row * from.stride; }, count, k, panel);
  });
}

// k values from `at` on, a multiple of kDepth, of the panel of column n become a panel of the micro-kernel.
void widen_panel(const GemmTask& task, int64_t n, int64_t at, int64_t k, float* panel) {
  const Bf16* from =
      static_cast<const Bf16*>(task.panels) + n * round_up(task.k, kPairDepth) + at * kPairColumns;
  for (int64_t i = 0; i < k; i += 2) {
    for (int64_t half = 0; half < 2; ++half) {
      const F words = load_words(Panel::word(from, i / 2, half), 2 * kLanes);
      float* to = panel + i * kColumns + half * kLanes;
      store(to, first_of_words(words));
      if (i + 1 < k) store(to + kColumns, second_of_words(words));
    }
  }
}

// Prefetches the rows of the next panel while this one is multiplied: they are too short for the hardware to
// detect.
void prefetch_rows(const ConstRows& from, int64_t count, int64_t at, int64_t k) {
  constexpr int64_t kLine = 64;
  const int64_t size = from.type == Type::f32 ? 4 : 2, rows = count < kColumns ? count : kColumns;
  for (int64_t r = 0; r < rows; ++r) {
    const char* p = static_cast<const char*>(from.data) + (r * from.stride + at) * size;
    for (int64_t i = 0; i < k * size; i += kLine) __builtin_prefetch(p + i, 0, 2);
  }
}

// Products of few rows. The sum of a row and a column has one order, whatever the number of rows and wherever
// columns are cut: k is divided into equal chunks of at most kMostDepth values; within a chunk each lane of a
// vector sums its values one after the other; store_sums adds the lanes; the chunks are added in turn.
constexpr int64_t kMostDepth = 2048;  // a few rows of a chunk stay in the first-level cache
constexpr int kBlockColumns = 4;
constexpr int kBlockRows =
    kLanes == 16 ? 4 : 3;  // 3 × 4 sums, 3 values and a weight: the 16 registers of AVX2

// A step along k: a vector of values of a row and one of a column, and their products added to a vector of
// sums.
template <class A, class B>
struct DotStep {
  static constexpr int64_t kValues = kLanes;
  template <class T>
  GLMOCR_INLINE static F take(const T* p) {
    return load(p);
  }
  template <class T>
  GLMOCR_INLINE static F take_part(const T* p, int64_t n) {
    return load_part(p, n);
  }
  GLMOCR_INLINE static F add(F a, F b, F sum) { return fma(a, b, sum); }
};

#ifdef __AVX512BF16__
template <>
struct DotStep<Bf16, Bf16> {
  static constexpr int64_t kValues = kPairLanes;
  GLMOCR_INLINE static Pairs take(const Bf16* p) { return load_pairs(p); }
  GLMOCR_INLINE static Pairs take_part(const Bf16* p, int64_t n) { return load_part_pairs(p, n); }
  GLMOCR_INLINE static F add(Pairs a, Pairs b, F sum) { return add_products(a, b, sum); }
};
#endif

// One chunk of a product: pointers at the chunk's first value, strides of whole rows.
template <class A, class B>
struct DotChunk {
  const A* a;
  int64_t a_stride;
  const B* b;
  int64_t b_stride;
  int64_t k;
  float* c;
  int64_t c_stride;
  bool add;  // to what c holds: false for the first chunk
};

// Sums of M rows of a and N of b, before their lanes are added. On the way kAhead later rows of b are
// prefetched, from `ahead` on, one after the other: memory is read fastest as one stream.
template <class A, class B, int M, int N, int kAhead>
GLMOCR_INLINE void dot_lanes(const DotChunk<A, B>& chunk, const B* ahead, F (*sums)[N]) {
  using Step = DotStep<A, B>;
  constexpr int64_t kLine = 64, kPrefetch = kAhead * Step::kValues * static_cast<int64_t>(sizeof(B));
  for (int m = 0; m < M; ++m) {
    for (int n = 0; n < N; ++n) sums[m][n] = zero();
  }
  const int64_t steps = chunk.k / Step::kValues;
  int64_t step = 0;
  for (int row = 0; row < (kAhead ? kAhead : 1); ++row) {
    const int64_t end = kAhead ? steps * (row + 1) / kAhead : steps;
    const char* next = reinterpret_cast<const char*>(ahead + row * chunk.b_stride);
    for (; step < end; ++step) {
      for (int64_t offset = 0; offset < kPrefetch; offset += kLine) __builtin_prefetch(next + offset, 0, 2);
      next += kPrefetch;
      const int64_t i = step * Step::kValues;
      decltype(Step::take(chunk.a)) values[M];
      for (int m = 0; m < M; ++m) values[m] = Step::take(chunk.a + m * chunk.a_stride + i);
      for (int n = 0; n < N; ++n) {
        const auto weight = Step::take(chunk.b + n * chunk.b_stride + i);
        for (int m = 0; m < M; ++m) sums[m][n] = Step::add(values[m], weight, sums[m][n]);
      }
    }
  }
  const int64_t i = steps * Step::kValues, rest = chunk.k - i;
  if (rest == 0) return;
  for (int m = 0; m < M; ++m) {
    const auto value = Step::take_part(chunk.a + m * chunk.a_stride + i, rest);
    for (int n = 0; n < N; ++n) {
      sums[m][n] = Step::add(value, Step::take_part(chunk.b + n * chunk.b_stride + i, rest), sums[m][n]);
    }
  }
}

// c [M, kBlockColumns] of a chunk.
template <class A, class B, int M, int kAhead>
GLMOCR_INLINE void dot_block(const DotChunk<A, B>& chunk, const B* ahead) {
  F sums[M][kBlockColumns];
  dot_lanes<A, B, M, kBlockColumns, kAhead>(chunk, ahead, sums);
  for (int m = 0; m < M; ++m) store_sums(sums[m], chunk.c + m * chunk.c_stride, chunk.add);
}

// c [M, columns], columns < kBlockColumns.
template <class A, class B, int M>
GLMOCR_INLINE void dot_last_columns(DotChunk<A, B> chunk, int64_t columns) {
  for (int64_t n = 0; n < columns; ++n, chunk.b += chunk.b_stride, ++chunk.c) {
    F sums[M][1];
    dot_lanes<A, B, M, 1, 0>(chunk, nullptr, sums);
    for (int m = 0; m < M; ++m) {
      const F lanes[kBlockColumns] = {sums[m][0], sums[m][0], sums[m][0], sums[m][0]};
      float total[kBlockColumns];
      store_sums(lanes, total, false);
      float* c = chunk.c + m * chunk.c_stride;
      *c = chunk.add ? *c + total[0] : total[0];
    }
  }
}

// M rows, the block number `block` of `blocks`, against up to kBlockColumns rows of b. The first two blocks
// share the prefetching of the next rows of b.
template <class A, class B, int M>
GLMOCR_INLINE void dot_rows(const DotChunk<A, B>& chunk, int64_t columns, int64_t block, int64_t blocks) {
  constexpr int kHalf = kBlockColumns / 2;
  if (columns < kBlockColumns) return dot_last_columns<A, B, M>(chunk, columns);
  const B* next = chunk.b + kBlockColumns * chunk.b_stride;
  if (blocks == 1) return dot_block<A, B, M, kBlockColumns>(chunk, next);
  if constexpr (M > 1) {  // several blocks have two rows or more each
    if (block < 2) return dot_block<A, B, M, kHalf>(chunk, next + block * kHalf * chunk.b_stride);
    dot_block<A, B, M, 0>(chunk, nullptr);
  }
}

// All rows of a against up to kBlockColumns rows of b, which come from memory once and then from the cache.
template <class A, class B>
GLMOCR_INLINE void dot_columns(DotChunk<A, B> chunk, int64_t rows, int64_t columns) {
  const int64_t blocks = (rows + kBlockRows - 1) / kBlockRows;
  for (int64_t block = 0; block < blocks; ++block) {
    const int64_t m = rows / (blocks - block);  // blocks of nearly equal size, the smaller ones first
    if (m == 1) {
      dot_rows<A, B, 1>(chunk, columns, block, blocks);
    } else if (m == 2) {
      dot_rows<A, B, 2>(chunk, columns, block, blocks);
    } else if (m == 3) {
      dot_rows<A, B, 3>(chunk, columns, block, blocks);
    } else if constexpr (kBlockRows > 3) {
      dot_rows<A, B, 4>(chunk, columns, block, blocks);
    }
    chunk.a += m * chunk.a_stride;
    chunk.c += m * chunk.c_stride;
    rows -= m;
  }
}

template <class A, class B>
void dot_values(const DotTask& task) {
  const int64_t chunks = task.k > kMostDepth ? (task.k + kMostDepth - 1) / kMostDepth : 1;
  const int64_t depth = round_up((task.k + chunks - 1) / chunks, 64);
  const A* a = static_cast<const A*>(task.a.data);
  const B* b = static_cast<const B*>(task.b.data);
  int64_t at = 0;
  do {  // once for k = 0 too: sums of nothing are 0
    const int64_t k = task.k - at < depth ? task.k - at : depth;
    for (int64_t n = 0; n < task.n; n += kBlockColumns) {
      const int64_t columns = task.n - n < kBlockColumns ? task.n - n : kBlockColumns;
      dot_columns<A, B>({a + at, task.a.stride, b + n * task.b.stride + at, task.b.stride, k, task.c + n,
                         task.c_stride, at > 0},
                        task.m, columns);
    }
    at += depth;
  } while (at < task.k);
}

template <class T>
GLMOCR_INLINE F finish(F value, const float* bias, Nonlinearity activation, const T* residual, int64_t n) {
  if (bias) value = value + load_some(bias, n);
  if (activation != Nonlinearity::none) value = apply(activation, rounded<T>(value));
  if (residual) value = rounded<T>(value) + load_some(residual, n);
  return value;
}

}  // namespace

int64_t gemm_scratch(int64_t m) { return m * kRowPitch + kDepth * kColumns; }

void gemm(const GemmTask& task) {
  float* rows = task.scratch;
  float* panel = task.scratch + task.m * kRowPitch;
  const auto weights = [&](int64_t n) {
    const int64_t size = task.b.type == Type::f32 ? 4 : 2;
    return ConstRows{static_cast<const char*>(task.b.data) + n * task.b.stride * size, task.b.stride,
                     task.b.type};
  };
  for (int64_t at = 0; at < task.k; at += kDepth) {
    const int64_t depth = task.k - at < kDepth ? task.k - at : kDepth;
    copy_rows(task.a, task.m, at, depth, rows);
    for (int64_t n = 0; n < task.n; n += kColumns) {
      if (task.panels) {
        widen_panel(task, n, at, depth, panel);
      } else {
        pack_weights(weights(n), task.n - n, at, depth, panel);
        if (n + kColumns < task.n) prefetch_rows(weights(n + kColumns), task.n - n - kColumns, at, depth);
      }
      multiply_panel(task.m, depth, rows, kRowPitch, panel, task.c + n, task.c_stride, at > 0);
    }
  }
}

void dot(const DotTask& task) {
  if constexpr (kDotsBf16) {
    if (task.a.type == Type::bf16) return dot_values<Bf16, Bf16>(task);
  }
  with_type(task.b.type, [&](auto tag) { dot_values<float, decltype(tag)>(task); });
}

void epilogue(const EpilogueTask& task) {
  with_compute_type(task.out.type, [&](auto tag) {
    using T = decltype(tag);
    const auto run = [&](auto product_tag) {
      using P = decltype(product_tag);
      for (int64_t r = 0; r < task.rows; ++r) {
        const P* product = static_cast<const P*>(task.product.data) + r * task.product.stride;
        const T* residual = task.residual.data
                                ? static_cast<const T*>(task.residual.data) + r * task.residual.stride
                                : nullptr;
        T* out = static_cast<T*>(task.out.data) + r * task.out.stride;
        for (int64_t c = 0; c < task.columns; c += kLanes) {
          const int64_t n = task.columns - c;
          const F value = finish<T>(load_some(product + c, n), task.bias ? task.bias + c : nullptr,
                                    task.activation, residual ? residual + c : nullptr, n);
          store_some(out + c, value, n);
        }
      }
    };
    with_compute_type(task.product.type, run);
  });
}

}  // namespace glmocr::cpu::GLMOCR_ISA
