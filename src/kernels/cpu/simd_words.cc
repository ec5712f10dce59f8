// SPDX-License-Identifier: Apache-2.0
#include "kernels/cpu/simd_words.h"

#include "kernels/cpu/simd_kernels.h"

// Products in fp32 of few rows with weights of bf16 that were packed at load. The sum of a value has one order: along k, one
// value after the other.
namespace glmocr::cpu::GLMOCR_ISA {
namespace {

// R rows of x, `stride` apart, against P neighbouring panels of `depth` values each. Several panels keep more sums going where
// there are few rows: a sum waits for the one before.
template <int R, int P>
GLMOCR_INLINE void multiply_words(int64_t k, int64_t depth, const float* x, int64_t stride,
                                  const Bf16* panels, float* c, int64_t c_stride) {
  F sums[R][2 * P];
  for (int r = 0; r < R; ++r) {
    for (int j = 0; j < 2 * P; ++j) sums[r][j] = zero();
  }
  const auto add = [&](int64_t i, auto widened) {
    F columns[2 * P];
    for (int j = 0; j < 2 * P; ++j) {
      const Bf16* panel = panels + j / 2 * depth * kPairColumns;
      columns[j] = widened(load_words(Panel::word(panel, i / 2, j % 2), 2 * kLanes));
    }
    for (int r = 0; r < R; ++r) {
      const F value = set(x[r * stride + i]);
      for (int j = 0; j < 2 * P; ++j) sums[r][j] = fma(value, columns[j], sums[r][j]);
    }
  };
  const auto first = [](F words) { return first_of_words(words); };
  const auto second = [](F words) { return second_of_words(words); };
  constexpr int64_t kLine = 64, kAhead = R > 2 ? 8 << 10 : 0, kWordBytes = 4 * kPairColumns;
  int64_t i = 0;
  for (; i + 2 <= k; i += 2) {
    if constexpr (kAhead > 0 && P == 1) {
      const char* next = reinterpret_cast<const char*>(Panel::word(panels, i / 2, 0)) + kAhead;
      for (int64_t at = 0; at < kWordBytes; at += kLine) __builtin_prefetch(next + at, 0, 2);
    }
    add(i, first);
    add(i + 1, second);
  }
  if (i < k) add(i, first);
  for (int r = 0; r < R; ++r) {
    for (int j = 0; j < 2 * P; ++j) store(c + r * c_stride + j * kLanes, sums[r][j]);
  }
}

// Panels that R rows multiply at once.
constexpr int at_once(int rows) { return rows * 4 <= 2 * kRows ? 2 : 1; }

// multiply_words of so many rows, 1 <= rows <= R, with up to `panels` panels; returns how many.
template <int R>
GLMOCR_INLINE int64_t multiply_some(int64_t rows, int64_t k, int64_t depth, const float* x, int64_t stride,
                                    const Bf16* panel, int64_t panels, float* c, int64_t c_stride) {
  if (rows < R) {
    if constexpr (R > 1) return multiply_some<R - 1>(rows, k, depth, x, stride, panel, panels, c, c_stride);
  }
  constexpr int kPanels = at_once(R);
  if (panels >= kPanels) {
    multiply_words<R, kPanels>(k, depth, x, stride, panel, c, c_stride);
    return kPanels;
  }
  multiply_words<R, 1>(k, depth, x, stride, panel, c, c_stride);
  return 1;
}

}  // namespace

void pack_columns(const ConstRows& rows, int64_t count, int64_t k, void* panel) {
  const auto* first = static_cast<const Bf16*>(rows.data);
  pack_right([&](int64_t row) { return first + row * rows.stride; }, count, k, static_cast<Bf16*>(panel));
}

// Each panel comes from memory once and then from the cache, for groups of rows of nearly equal size.
void dot_panels(const DotTask& task) {
  const int64_t depth = round_up(task.k, kPairDepth), groups = (task.m + kRows - 1) / kRows;
  const int64_t panels = (task.n + kPairColumns - 1) / kPairColumns;
  const auto* x = static_cast<const float*>(task.a.data);
  const auto* panel = static_cast<const Bf16*>(task.b.data);
  for (int64_t i = 0; i < panels;) {
    int64_t done = 0;
    for (int64_t group = 0; group < groups; ++group) {
      const int64_t row = group * task.m / groups, rows = (group + 1) * task.m / groups - row;
      const int64_t wanted = group == 0 ? panels - i : done;
      int64_t here = 0;
      while (here < wanted) {
        here += multiply_some<kRows>(rows, task.k, depth, x + row * task.a.stride, task.a.stride,
                                     panel + (i + here) * depth * kPairColumns, wanted - here,
                                     task.c + row * task.c_stride + (i + here) * kPairColumns, task.c_stride);
        if (group == 0) break;
      }
      done = here;
    }
    i += done;
  }
}

}  // namespace glmocr::cpu::GLMOCR_ISA
