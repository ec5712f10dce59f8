// SPDX-License-Identifier: Apache-2.0
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

// x / (1 + exp(-x)) within 4e-6 of its size, and within 1e-36. No step has a result below the smallest normal number,
// which would take a hundred times as long.
GLMOCR_INLINE F quick_silu(F x) {
  const F power = max(set(-30), min(set(120), x * set(-1.44269504f)));  // in this order NaN stays NaN
  const F below = set(1) + exp2_short(power), guess = _mm512_rcp14_ps(below);
  return x * fma(fnma(below, guess, set(1)), guess, guess);
}

GLMOCR_INLINE F activated(Nonlinearity activation, F v) {
  const F value = widen_bf16(reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(v)));
  return activation == Nonlinearity::silu ? quick_silu(value) : apply(activation, value);
}

// 32 values of two vectors.
struct Wide {
  F low, high;
};
GLMOCR_INLINE Wide widen_words(I words) {
  return {widen_bf16(_mm512_castsi512_si256(words)), widen_bf16(_mm512_extracti64x4_epi64(words, 1))};
}
GLMOCR_INLINE Wide load_wide(const Bf16* p, __mmask32 mask) {
  return widen_words(_mm512_maskz_loadu_epi16(mask, p));
}
GLMOCR_INLINE Wide round_wide(const Wide& v) {
  return widen_words(reinterpret_cast<I>(round_pairs(v.low, v.high)));
}

// What follows the sums [rows, kPairColumns] at (row, column).
template <bool kActivated, bool kMore>
void finish_rows(const TilesTask& task, const float* sums, int64_t row, int64_t rows, int64_t column) {
  const int64_t some = task.n - column;
  const __mmask32 mask = some < kPairColumns ? (1u << some) - 1 : ~0u;
  const float* bias = task.bias ? task.bias + column : nullptr;
  const Wide more =
      bias ? Wide{load_some(bias, some), some > kLanes ? load_some(bias + kLanes, some - kLanes) : zero()}
           : Wide{zero(), zero()};
  const auto at = [&](const ConstRows& other, int64_t r) {
    return static_cast<const Bf16*>(other.data) + (row + r) * other.stride + column;
  };
  auto* out = static_cast<Bf16*>(task.out.data) + row * task.out.stride + column;
  for (int64_t r = 0; r < rows; ++r) {
    const float* from = sums + r * kPairColumns;
    Wide v{load(from) + more.low, load(from + kLanes) + more.high};
    if constexpr (kActivated) v = {activated(task.activation, v.low), activated(task.activation, v.high)};
    if constexpr (kMore) {
      if (task.residual.data) {
        const Wide whole = round_wide(v), other = load_wide(at(task.residual, r), mask);
        v = {whole.low + other.low, whole.high + other.high};
      }
      if (task.factor.data) {
        const Wide whole = round_wide(v), other = load_wide(at(task.factor, r), mask);
        v = {whole.low * other.low, whole.high * other.high};
      }
    }
    _mm512_mask_storeu_epi16(out + r * task.out.stride, mask,
                             reinterpret_cast<I>(round_pairs(v.low, v.high)));
  }
}

void finish_block(const TilesTask& task, const float* sums, int64_t row, int64_t rows, int64_t column) {
  const bool more = task.residual.data || task.factor.data;
  if (task.activation != Nonlinearity::none) {
    more ? finish_rows<true, true>(task, sums, row, rows, column)
         : finish_rows<true, false>(task, sums, row, rows, column);
  } else {
    more ? finish_rows<false, true>(task, sums, row, rows, column)
         : finish_rows<false, false>(task, sums, row, rows, column);
  }
}

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
      finish_block(task, sums, row, rows, column);
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
    finish_block(task, sums, 0, task.m, column);
  }
}
#endif

}  // namespace glmocr::cpu::GLMOCR_ISA
