// SPDX-License-Identifier: Apache-2.0
#include "kernels/cpu/simd_finish.h"
#include "kernels/cpu/simd_kernels.h"
#include "kernels/cpu/simd_pairs.h"

// Products of bf16 with weights that were packed at load, by vdpbf16ps: what simd_tiles.cc does in tiles. A sum has one
// order: pairs along k, one after the other, whatever rows and columns it stands among. Sums stay in registers for all of
// k: storing and loading them every 256 values cost a twentieth of the time of a product.
namespace glmocr::cpu::GLMOCR_ISA {

#if defined(__AVX512BF16__) && !defined(__AMX_BF16__)
namespace {

constexpr int64_t kLine = 64;

// sums [R, kPairColumns] of R rows with a panel. On the way the memory kAhead bytes on is fetched.
template <int R, int64_t kAhead, class Stride, class Step>
GLMOCR_INLINE void multiply_rows(int64_t k, const Left<Stride, Step>& left, const Bf16* panel, float* sums) {
  F s[R][2];
  for (int r = 0; r < R; ++r) s[r][0] = s[r][1] = zero();
  const Bf16* rows = left.data;
  for (int64_t i = 0; i < k; i += kStepDepth) {
    if constexpr (kAhead > 0) {
      __builtin_prefetch(reinterpret_cast<const char*>(panel) + kAhead, 0, 2);
      __builtin_prefetch(reinterpret_cast<const char*>(panel) + kAhead + kLine, 0, 2);
    }
    const Pairs first = load_pairs(panel), second = load_pairs(panel + kPairLanes);
    for (int r = 0; r < R; ++r) {
      const Pairs value = broadcast_pair(rows + r * left.stride);
      s[r][0] = add_products(value, first, s[r][0]);
      s[r][1] = add_products(value, second, s[r][1]);
    }
    panel += kStepDepth * kPairColumns;
    rows += left.step;
  }
  for (int r = 0; r < R; ++r) {
    store(sums + r * kPairColumns, s[r][0]);
    store(sums + r * kPairColumns + kLanes, s[r][1]);
  }
}

// multiply_rows of so many rows, 1 <= rows <= R. Up to five rows wait for memory alone, which is fastest as the hardware
// asks for it; more of them take as long to multiply, and it falls behind.
template <int R, class Stride, class Step>
GLMOCR_INLINE void multiply_some(int64_t rows, int64_t k, const Left<Stride, Step>& left, const Bf16* panel,
                                 float* sums) {
  constexpr int64_t kAhead = R > 5 ? 8 << 10 : 0;
  if (rows == R) {
    multiply_rows<R, kAhead>(k, left, panel, sums);
  } else if constexpr (R > 1) {
    multiply_some<R - 1>(rows, k, left, panel, sums);
  }
}

// Of a block [rows, kPairColumns].
struct PanelSums {
  static constexpr int64_t kHigh = kLanes;
  const float* first;

  const float* operator()(int64_t r) const { return first + r * kPairColumns; }
};

}  // namespace

int64_t tile_work_bytes(int64_t) { return kPairRows * kPairColumns * static_cast<int64_t>(sizeof(float)); }

// Rows of a task and one panel stay in the second-level cache.
void tiles_many(const TilesTask& task) {
  const int64_t depth = round_up(task.k, kPairDepth);
  const auto* x = static_cast<const Bf16*>(task.x);
  const auto* panel = static_cast<const Bf16*>(task.panels);
  auto* sums = static_cast<float*>(task.work);
  for (int64_t column = 0; column < task.n; column += kPairColumns, panel += kPairColumns * depth) {
    for (int64_t row = 0; row < task.m; row += kPairRows) {
      const int64_t rows = task.m - row < kPairRows ? task.m - row : kPairRows;
      const auto left = packed_rows(x + row * depth);
      if (rows > 8) {
        multiply_rows<kPairRows, 0>(depth, left, panel, sums);
      } else if (rows > 4) {
        multiply_rows<8, 0>(depth, left, panel, sums);
      } else {
        multiply_rows<4, 0>(depth, left, panel, sums);
      }
      finish_block(task, PanelSums{sums}, row, rows, column);
    }
  }
}

// Bound by reading the panels, one stream from memory.
void tiles_few(const TilesTask& task) {
  const int64_t depth = round_up(task.k, kPairDepth);
  const auto left = rows_of(static_cast<const Bf16*>(task.x), task.x_stride);
  const auto* panel = static_cast<const Bf16*>(task.panels);
  auto* sums = static_cast<float*>(task.work);
  for (int64_t column = 0; column < task.n; column += kPairColumns, panel += kPairColumns * depth) {
    multiply_some<kPairRows>(task.m, depth, left, panel, sums);
    finish_block(task, PanelSums{sums}, 0, task.m, column);
  }
}
#endif

}  // namespace glmocr::cpu::GLMOCR_ISA
