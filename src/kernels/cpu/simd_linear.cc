// SPDX-License-Identifier: Apache-2.0
#include "kernels/cpu/simd_gemm.h"
#include "kernels/cpu/simd_kernels.h"

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

// Calls for the rows of the next panel while this one is multiplied: too short for the hardware to see them
// coming.
void prefetch_rows(const ConstRows& from, int64_t count, int64_t at, int64_t k) {
  constexpr int64_t kLine = 64;
  const int64_t size = from.type == Type::f32 ? 4 : 2, rows = count < kColumns ? count : kColumns;
  for (int64_t r = 0; r < rows; ++r) {
    const char* p = static_cast<const char*>(from.data) + (r * from.stride + at) * size;
    for (int64_t i = 0; i < k * size; i += kLine) __builtin_prefetch(p + i, 0, 2);
  }
}

// c [M, 4] (+)= a · bᵀ for M rows of a and four of b in registers. The first to read b calls for the four
// rows behind.
template <class T, int M, bool kFirst>
GLMOCR_INLINE void dot_block(const float* a, int64_t a_stride, const T* b, int64_t b_stride, int64_t k,
                             float* c, int64_t c_stride, bool add) {
  constexpr int N = 4;
  F sums[M][N];
  for (int m = 0; m < M; ++m) {
    for (int n = 0; n < N; ++n) sums[m][n] = zero();
  }
  int64_t i = 0;
  for (; i + kLanes <= k; i += kLanes) {
    F value[M];  // 3 · 4 sums, 3 values and a weight: the 16 registers of AVX2
    for (int m = 0; m < M; ++m) value[m] = load(a + m * a_stride + i);
    for (int n = 0; n < N; ++n) {
      if constexpr (kFirst) __builtin_prefetch(b + (n + N) * b_stride + i);
      const F weight = load(b + n * b_stride + i);
      for (int m = 0; m < M; ++m) sums[m][n] = fma(value[m], weight, sums[m][n]);
    }
  }
  if (i < k) {
    for (int n = 0; n < N; ++n) {
      const F weight = load_part(b + n * b_stride + i, k - i);
      for (int m = 0; m < M; ++m)
        sums[m][n] = fma(load_part(a + m * a_stride + i, k - i), weight, sums[m][n]);
    }
  }
  for (int m = 0; m < M; ++m) store_sums(sums[m], c + m * c_stride, add);
}

// One row of a and one of b: memory is read in one stream, half a page ahead of the sums (a quarter faster
// than with the hardware's prefetching alone).
template <class T>
GLMOCR_INLINE float dot_one(const float* a, const T* b, int64_t k) {
  constexpr int kChains = 4;
  F sums[kChains] = {zero(), zero(), zero(), zero()};
  int64_t i = 0;
  for (; i + kChains * kLanes <= k; i += kChains * kLanes) {
    for (int j = 0; j < kChains; ++j)
      sums[j] = fma(load(a + i + j * kLanes), load(b + i + j * kLanes), sums[j]);
  }
  for (; i < k; i += kLanes) sums[0] = fma(load_some(a + i, k - i), load_some(b + i, k - i), sums[0]);
  return sum((sums[0] + sums[1]) + (sums[2] + sums[3]));
}

// Three rows at a time, the last four as two and two: a row alone waits for its own sums.
GLMOCR_INLINE int64_t rows_of_block(int64_t left) { return left == 2 || left == 4 ? 2 : left == 1 ? 1 : 3; }

template <class T, bool kFirst>
GLMOCR_INLINE void dot_rows(int64_t rows, const float* a, int64_t a_stride, const T* b, int64_t b_stride,
                            int64_t k, float* c, int64_t c_stride, bool add) {
  if (rows == 3) {
    dot_block<T, 3, kFirst>(a, a_stride, b, b_stride, k, c, c_stride, add);
  } else if (rows == 2) {
    dot_block<T, 2, kFirst>(a, a_stride, b, b_stride, k, c, c_stride, add);
  } else {
    dot_block<T, 1, kFirst>(a, a_stride, b, b_stride, k, c, c_stride, add);
  }
}

// All rows of a against four rows of b, which come from memory once and then from the cache; k values from
// `at` on.
template <class T>
GLMOCR_INLINE void dot_four(const DotTask& task, int64_t n, int64_t at, int64_t k) {
  const T* b = static_cast<const T*>(task.b.data) + n * task.b.stride + at;
  const float* a = task.a + at;
  float* c = task.c + n;
  const bool add = at > 0;
  int64_t m = rows_of_block(task.m);
  dot_rows<T, true>(m, a, task.a_stride, b, task.b.stride, k, c, task.c_stride, add);
  while (m < task.m) {
    const int64_t rows = rows_of_block(task.m - m);
    dot_rows<T, false>(rows, a + m * task.a_stride, task.a_stride, b, task.b.stride, k, c + m * task.c_stride,
                       task.c_stride, add);
    m += rows;
  }
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
      pack_weights(weights(n), task.n - n, at, depth, panel);
      if (n + kColumns < task.n) prefetch_rows(weights(n + kColumns), task.n - n - kColumns, at, depth);
      multiply_panel(task.m, depth, rows, kRowPitch, panel, task.c + n, task.c_stride, at > 0);
    }
  }
}

void dot(const DotTask& task) {
  with_type(task.b.type, [&](auto tag) {
    using T = decltype(tag);
    const auto single = [&](int64_t m, int64_t n) {
      const T* b = static_cast<const T*>(task.b.data) + n * task.b.stride;
      task.c[m * task.c_stride + n] = dot_one(task.a + m * task.a_stride, b, task.k);
    };
    int64_t n = 0;
    if (task.m > 1) {
      // So many values of each row of a that all rows stay in the first-level cache.
      const int64_t depth = 4096 / task.m / kLanes * kLanes;
      for (int64_t at = 0; at < task.k; at += depth) {
        const int64_t k = task.k - at < depth ? task.k - at : depth;
        for (n = 0; n + 4 <= task.n; n += 4) dot_four<T>(task, n, at, k);
      }
    }
    for (; n < task.n; ++n) {
      for (int64_t m = 0; m < task.m; ++m) single(m, n);
    }
  });
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
