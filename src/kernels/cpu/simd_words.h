// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "kernels/cpu/simd_gemm.h"
#include "kernels/cpu/simd_pairs.h"

// Panels of bf16 that every set packs weights in: kPairColumns columns, words of two neighbouring values of a column. Sets
// with products of bf16 lay them out as those take them (simd_pairs.h).
namespace glmocr::cpu::GLMOCR_ISA {

#ifndef __AVX512BF16__
constexpr int64_t kPairColumns = kColumns;
constexpr int64_t kPairDepth = 2 * kLanes;

// [k / 2][kPairColumns][2].
struct Panel {
  template <class T>
  static T* word(T* panel, int64_t pair, int64_t half) {
    return panel + pair * 2 * kPairColumns + half * 2 * kLanes;
  }
};

// As in simd_pairs.h.
template <class RowAt>
GLMOCR_INLINE void pack_right(RowAt row, int64_t count, int64_t k, Bf16* panel) {
  for (int64_t half = 0; half < 2; ++half) {
    for (int64_t i = 0; i < k; i += kPairDepth) {
      F v[kLanes];
      for (int lane = 0; lane < kLanes; ++lane) {
        const int64_t column = half * kLanes + lane;
        v[lane] = column < count ? load_words(row(column) + i, k - i) : zero();
      }
      transpose(v);
      for (int lane = 0; lane < kLanes; ++lane) store_words(Panel::word(panel, i / 2 + lane, half), v[lane]);
    }
  }
}
#endif

static_assert(kPairColumns == kColumns);

}  // namespace glmocr::cpu::GLMOCR_ISA
