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

// c [M, N] = a · bᵀ for M rows of a and N of b in registers.
template <class T, int M, int N>
GLMOCR_INLINE void dot_block(const float* a, int64_t a_stride, const T* b, int64_t b_stride, int64_t k,
                             float* c, int64_t c_stride) {
  F sums[M][N];
  for (int m = 0; m < M; ++m) {
    for (int n = 0; n < N; ++n) sums[m][n] = zero();
  }
  int64_t i = 0;
  for (; i + kLanes <= k; i += kLanes) {
    F weight[N];
    for (int n = 0; n < N; ++n) weight[n] = load(b + n * b_stride + i);
    for (int m = 0; m < M; ++m) {
      const F value = load(a + m * a_stride + i);
      for (int n = 0; n < N; ++n) sums[m][n] = fma(value, weight[n], sums[m][n]);
    }
  }
  if (i < k) {
    for (int n = 0; n < N; ++n) {
      const F weight = load_part(b + n * b_stride + i, k - i);
      for (int m = 0; m < M; ++m)
        sums[m][n] = fma(load_part(a + m * a_stride + i, k - i), weight, sums[m][n]);
    }
  }
  for (int m = 0; m < M; ++m) {
    for (int n = 0; n < N; ++n) c[m * c_stride + n] = sum(sums[m][n]);
  }
}

// All rows of a against N rows of b, which come from memory once and then from the cache.
template <class T, int N>
GLMOCR_INLINE void dot_rows(const DotTask& task, int64_t n) {
  const T* b = static_cast<const T*>(task.b.data) + n * task.b.stride;
  int64_t m = 0;
  for (; m + 3 <= task.m; m += 3) {
    dot_block<T, 3, N>(task.a + m * task.a_stride, task.a_stride, b, task.b.stride, task.k,
                       task.c + m * task.c_stride + n, task.c_stride);
  }
  if (task.m - m == 2) {
    dot_block<T, 2, N>(task.a + m * task.a_stride, task.a_stride, b, task.b.stride, task.k,
                       task.c + m * task.c_stride + n, task.c_stride);
  } else if (task.m - m == 1) {
    dot_block<T, 1, N>(task.a + m * task.a_stride, task.a_stride, b, task.b.stride, task.k,
                       task.c + m * task.c_stride + n, task.c_stride);
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

int64_t gemm_scratch(int64_t m, int64_t n) { return m * kRowPitch + kDepth * round_up(n, kColumns); }

void gemm(const GemmTask& task) {
  float* rows = task.scratch;
  float* panels = task.scratch + task.m * kRowPitch;
  for (int64_t at = 0; at < task.k; at += kDepth) {
    const int64_t depth = task.k - at < kDepth ? task.k - at : kDepth;
    copy_rows(task.a, task.m, at, depth, rows);
    for (int64_t n = 0; n < task.n; n += kColumns) {
      float* panel = panels + n * kDepth;
      const int64_t size = task.b.type == Type::f32 ? 4 : 2;
      const ConstRows b = {static_cast<const char*>(task.b.data) + n * task.b.stride * size, task.b.stride,
                           task.b.type};
      pack_weights(b, task.n - n, at, depth, panel);
      multiply_panel(task.m, depth, rows, kRowPitch, panel, task.c + n, task.c_stride, at > 0);
    }
  }
}

void dot(const DotTask& task) {
  with_type(task.b.type, [&](auto tag) {
    using T = decltype(tag);
    int64_t n = 0;
    for (; n + 4 <= task.n; n += 4) dot_rows<T, 4>(task, n);
    for (; n < task.n; ++n) dot_rows<T, 1>(task, n);
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
