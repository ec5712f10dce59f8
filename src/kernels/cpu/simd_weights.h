// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "kernels/cpu/simd_pairs.h"

// The weights of attention in bf16: 2^(score · factor − centre), rounded, where the scores are in base 2 behind `factor` and
// the centre is a whole number per row that follows the largest score. A change of it moves exponents alone, so neither
// blocks of keys nor changes show in the rounded weights.
namespace glmocr::cpu::GLMOCR_ISA {

#ifdef __AVX512BF16__

// The largest score of a row may be so far above its centre before that changes: weights then are up to 2^8, which costs no
// digits.
constexpr float kMostAbove = 8;

// best: lanes that hold the largest scores of a row.
GLMOCR_INLINE bool is_far_above(F best, F factor, float centre) {
  return _mm512_cmp_ps_mask(_mm512_fmsub_ps(best, factor, set(centre)), set(kMostAbove), _CMP_GT_OQ) != 0;
}

// The next whole number above the largest score becomes the centre of a row, whose sums [kLanes] become relative to it. Returns
// by what all else that was summed is to be multiplied.
GLMOCR_INLINE F move_centre(F best, float factor, float& centre, float* sums) {
  const float before = centre, largest = largest_of(best) * factor;
  centre = _mm512_cvtss_f32(_mm512_roundscale_ps(set(largest), _MM_FROUND_TO_POS_INF));
  const F change = _mm512_scalef_ps(set(1), set(before - centre));
  store(sums, load(sums) * change);
  return change;
}

// Two neighbouring vectors of scores become weights, which are added to `sum`.
GLMOCR_INLINE Pairs weigh_pair(F low, F high, F factor, F centre, F& sum) {
  const Pairs ones = reinterpret_cast<Pairs>(_mm512_set1_epi16(0x3F80));
  const Pairs pairs = round_pairs(exp2_short(_mm512_fmsub_ps(low, factor, centre)),
                                  exp2_short(_mm512_fmsub_ps(high, factor, centre)));
  sum = add_products(pairs, ones, sum);
  return pairs;
}

#endif

}  // namespace glmocr::cpu::GLMOCR_ISA
