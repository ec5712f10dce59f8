// SPDX-License-Identifier: Apache-2.0
#include "kernels/cpu/simd.h"
#include "kernels/cpu/simd_gemm.h"
#include "kernels/cpu/simd_kernels.h"

namespace glmocr::cpu::GLMOCR_ISA {
namespace {

// R pixels and V vectors of columns of one panel, summed in registers over the whole window.
template <int R, int V>
GLMOCR_INLINE void sum_window(const ConvolutionTask& task, const float* a, const float* panel, float* c) {
  const int64_t step = task.pixel_step;
  F sums[R][V];
  for (int r = 0; r < R; ++r) {
    for (int v = 0; v < V; ++v) sums[r][v] = zero();
  }
  for (int64_t y = 0; y < task.runs; ++y, a += task.run_stride) {
    for (int64_t i = 0; i < task.run; ++i) {
      F weights[V];
      for (int v = 0; v < V; ++v) weights[v] = load(panel + v * kLanes);
      panel += kColumns;
      for (int r = 0; r < R; ++r) {
        const F value = set(a[r * step + i]);
        for (int v = 0; v < V; ++v) sums[r][v] = fma(value, weights[v], sums[r][v]);
      }
    }
  }
  for (int r = 0; r < R; ++r) {
    for (int v = 0; v < V; ++v) store(c + r * task.c_stride + v * kLanes, sums[r][v]);
  }
}

template <int R, int V>
void sum_windows(int64_t pixels, const ConvolutionTask& task, const float* a, const float* panel, float* c) {
  if (pixels == R) {
    sum_window<R, V>(task, a, panel, c);
  } else if constexpr (R > 1) {
    sum_windows<R - 1, V>(pixels, task, a, panel, c);
  }
}

// One row of pixels, in groups of nearly equal size.
template <int V>
void sum_row(const ConvolutionTask& task, const float* a, const float* panel, float* c) {
  const int64_t groups = (task.pixels + kRows - 1) / kRows;
  int64_t left = task.pixels;
  for (int64_t group = groups; group > 0; --group) {
    const int64_t pixels = (left + group - 1) / group;
    sum_windows<kRows, V>(pixels, task, a, panel, c);
    a += pixels * task.pixel_step;
    c += pixels * task.c_stride;
    left -= pixels;
  }
}

}  // namespace

void convolution(const ConvolutionTask& task) {
  const int64_t depth = task.runs * task.run;
  for (int64_t column = 0; column < task.columns; column += kColumns) {
    const float* panel = task.panels + column * depth;
    for (int64_t row = 0; row < task.rows; ++row) {
      const float* a = task.a + row * task.row_step;
      float* c = task.c + row * task.pixels * task.c_stride + column;
      if (task.columns - column > kLanes) {
        sum_row<2>(task, a, panel, c);
      } else {
        sum_row<1>(task, a, panel, c);
      }
    }
  }
}

void depthwise(const DepthwiseTask& task) {
  with_compute_type(task.type, [&](auto tag) {
    using T = decltype(tag);
    for (int64_t c = 0; c < task.channels; c += kLanes) {
      const int64_t n = task.channels - c;
      F sum = load_some(task.bias + c, n);
      for (int64_t i = 0; i < task.count; ++i) {
        sum = fma(load_some(static_cast<const T*>(task.taps[i].x) + c, n),
                  load_some(task.taps[i].weight + c, n), sum);
      }
      store_some(static_cast<T*>(task.out) + c, apply(task.activation, rounded<T>(sum)), n);
    }
  });
}

}  // namespace glmocr::cpu::GLMOCR_ISA
