// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "kernels/cpu/simd_kernels.h"
#include "kernels/cpu/simd_pairs.h"

// What follows the sums of a product of bf16 with packed weights (TilesTask): bias, activation, residual, factor, each
// rounded.
#ifdef __AVX512BF16__
namespace glmocr::cpu::GLMOCR_ISA {

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
GLMOCR_INLINE I round_words(const Wide& v) { return reinterpret_cast<I>(round_pairs(v.low, v.high)); }
GLMOCR_INLINE Wide round_wide(const Wide& v) { return widen_words(round_words(v)); }

// The part of the result at (row, column), `rows` times up to kPairColumns. sums_of(r) is where the first kLanes sums of
// its row r are; the others are Sums::kHigh values on.
template <bool kActivated, bool kMore, class Sums>
void finish_rows(const TilesTask& task, const Sums& sums_of, int64_t row, int64_t rows, int64_t column) {
  const int64_t some = task.n - column;
  const __mmask32 mask = some < kPairColumns ? (1u << some) - 1 : ~0u;
  const float* bias = task.bias ? task.bias + column : nullptr;
  const Wide more =
      bias ? Wide{load_some(bias, some), some > kLanes ? load_some(bias + kLanes, some - kLanes) : zero()}
           : Wide{zero(), zero()};
  const auto at = [&](const ConstRows& other, int64_t r) {
    return static_cast<const Bf16*>(other.data) + (row + r) * other.stride + column;
  };
  // A group holds steps of kPairRows rows of kPairDepth values.
  static_assert(kPairColumns == kPairDepth);
  const bool packs = kPacksResults && task.packs_out;
  const int64_t out_stride = packs ? kPairDepth : task.out.stride;
  auto* out =
      static_cast<Bf16*>(task.out.data) +
      (packs ? row / kPairRows * task.out.stride + column * kPairRows : row * task.out.stride + column);
  const __mmask32 stored = packs ? ~0u : mask;
  for (int64_t r = 0; r < rows; ++r) {
    const float* from = sums_of(r);
    Wide v{load(from) + more.low, load(from + Sums::kHigh) + more.high};
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
    _mm512_mask_storeu_epi16(out + r * out_stride, stored, _mm512_maskz_mov_epi16(mask, round_words(v)));
  }
}

template <class Sums>
void finish_block(const TilesTask& task, const Sums& sums_of, int64_t row, int64_t rows, int64_t column) {
  const bool more = task.residual.data || task.factor.data;
  if (task.activation != Nonlinearity::none) {
    more ? finish_rows<true, true>(task, sums_of, row, rows, column)
         : finish_rows<true, false>(task, sums_of, row, rows, column);
  } else {
    more ? finish_rows<false, true>(task, sums_of, row, rows, column)
         : finish_rows<false, false>(task, sums_of, row, rows, column);
  }
}

}  // namespace glmocr::cpu::GLMOCR_ISA
#endif
