// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "kernels/cpu/simd.h"

// The fp32 micro-kernel and what feeds it: c [m, 2 vectors] = a [m, k] · panel [k, 2 vectors], with kRows × 2
// accumulators in registers. linear and attention are both built from it.
namespace glmocr::cpu::GLMOCR_ISA {

constexpr int kColumns = 2 * kLanes;

// Rows row(0) … row(count - 1) of k values, transposed to panel [k][kColumns]. Columns beyond count repeat
// the last.
template <class T, class RowAt>
GLMOCR_INLINE void pack_panel(RowAt row, int64_t count, int64_t k, float* panel) {
  for (int group = 0; group < kColumns; group += kLanes) {
    const T* from[kLanes];
    for (int lane = 0; lane < kLanes; ++lane)
      from[lane] = row(group + lane < count ? group + lane : count - 1);
    float* to = panel + group;
    int64_t i = 0;
    F v[kLanes];
    for (; i + kLanes <= k; i += kLanes) {
      for (int lane = 0; lane < kLanes; ++lane) v[lane] = load(from[lane] + i);
      transpose(v);
      for (int lane = 0; lane < kLanes; ++lane) store(to + (i + lane) * kColumns, v[lane]);
    }
    if (i < k) {
      for (int lane = 0; lane < kLanes; ++lane) v[lane] = load_part(from[lane] + i, k - i);
      transpose(v);
      for (int64_t lane = 0; lane < k - i; ++lane) store(to + (i + lane) * kColumns, v[lane]);
    }
  }
}

template <int R>
inline void micro(int64_t k, const float* a, int64_t a_stride, const float* panel, float* c, int64_t c_stride,
                  bool add) {
  F sums[R][2];
  for (int r = 0; r < R; ++r) {
    sums[r][0] = add ? load(c + r * c_stride) : zero();
    sums[r][1] = add ? load(c + r * c_stride + kLanes) : zero();
  }
  for (int64_t i = 0; i < k; ++i) {
    const F left = load(panel), right = load(panel + kLanes);
    panel += kColumns;
    for (int r = 0; r < R; ++r) {
      const F value = set(a[r * a_stride + i]);
      sums[r][0] = fma(value, left, sums[r][0]);
      sums[r][1] = fma(value, right, sums[r][1]);
    }
  }
  for (int r = 0; r < R; ++r) {
    store(c + r * c_stride, sums[r][0]);
    store(c + r * c_stride + kLanes, sums[r][1]);
  }
}

// micro<rows> for 1 <= rows <= R.
template <int R>
inline void micro_some(int64_t rows, int64_t k, const float* a, int64_t a_stride, const float* panel,
                       float* c, int64_t c_stride, bool add) {
  if (rows == R) {
    micro<R>(k, a, a_stride, panel, c, c_stride, add);
  } else if constexpr (R > 1) {
    micro_some<R - 1>(rows, k, a, a_stride, panel, c, c_stride, add);
  }
}

// c [m, kColumns] (+)= a [m, k] · panel [k, kColumns].
inline void multiply_panel(int64_t m, int64_t k, const float* a, int64_t a_stride, const float* panel,
                           float* c, int64_t c_stride, bool add) {
  int64_t r = 0;
  for (; r + kRows <= m; r += kRows) {
    micro<kRows>(k, a + r * a_stride, a_stride, panel, c + r * c_stride, c_stride, add);
  }
  if (r < m) {
    micro_some<kRows - 1>(m - r, k, a + r * a_stride, a_stride, panel, c + r * c_stride, c_stride, add);
  }
}

}  // namespace glmocr::cpu::GLMOCR_ISA
