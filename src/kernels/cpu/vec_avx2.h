// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <immintrin.h>
#include <stdint.h>

#include "kernels/cpu/kernel_table.h"

// Eight lanes: AVX2, FMA, F16C. The names are explained in vec_baseline.h.
#define GLMOCR_INLINE __attribute__((always_inline)) inline

namespace glmocr::cpu::GLMOCR_ISA {

constexpr int kLanes = 8;
constexpr int kRows = 6;  // 6 × 2 accumulators of 16 registers

using F = __m256;
using I = __m256i;
using Mask = __m256;

GLMOCR_INLINE F set(float v) { return _mm256_set1_ps(v); }
GLMOCR_INLINE F zero() { return _mm256_setzero_ps(); }
GLMOCR_INLINE F select(Mask mask, F yes, F no) { return _mm256_blendv_ps(no, yes, mask); }
GLMOCR_INLINE Mask less(F a, F b) { return _mm256_cmp_ps(a, b, _CMP_LT_OQ); }
GLMOCR_INLINE bool any_equal(F a, F b) { return _mm256_movemask_ps(_mm256_cmp_ps(a, b, _CMP_EQ_OQ)) != 0; }
GLMOCR_INLINE F fma(F a, F b, F c) { return _mm256_fmadd_ps(a, b, c); }
GLMOCR_INLINE F fnma(F a, F b, F c) { return _mm256_fnmadd_ps(a, b, c); }
GLMOCR_INLINE F max(F a, F b) { return _mm256_max_ps(a, b); }
GLMOCR_INLINE F min(F a, F b) { return _mm256_min_ps(a, b); }
GLMOCR_INLINE F round_even(F v) { return _mm256_round_ps(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
GLMOCR_INLINE F scale_pow2(F v, F n) {
  const I whole = _mm256_cvtps_epi32(n), half = _mm256_srai_epi32(whole, 1), bias = _mm256_set1_epi32(127);
  const I first = _mm256_slli_epi32(_mm256_add_epi32(half, bias), 23);
  const I second = _mm256_slli_epi32(_mm256_add_epi32(_mm256_sub_epi32(whole, half), bias), 23);
  return _mm256_mul_ps(_mm256_mul_ps(v, _mm256_castsi256_ps(first)), _mm256_castsi256_ps(second));
}
GLMOCR_INLINE F times_pow2(F v, F n) {
  const I exponent = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
  return _mm256_mul_ps(v, _mm256_castsi256_ps(_mm256_slli_epi32(exponent, 23)));
}
GLMOCR_INLINE F truncate(F v) { return _mm256_and_ps(v, _mm256_castsi256_ps(_mm256_set1_epi32(-0x1000))); }

GLMOCR_INLINE float sum(F v) {
  __m128 half = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  half = _mm_add_ps(half, _mm_movehl_ps(half, half));
  return _mm_cvtss_f32(_mm_add_ss(half, _mm_movehdup_ps(half)));
}
GLMOCR_INLINE void store_sums_256(__m256 a, __m256 b, __m256 c, __m256 d, float* p, bool add) {
  const __m256 quads = _mm256_hadd_ps(_mm256_hadd_ps(a, b), _mm256_hadd_ps(c, d));
  const __m128 total = _mm_add_ps(_mm256_castps256_ps128(quads), _mm256_extractf128_ps(quads, 1));
  _mm_storeu_ps(p, add ? _mm_add_ps(_mm_loadu_ps(p), total) : total);
}
GLMOCR_INLINE void store_sums(const F* v, float* p, bool add) {
  store_sums_256(v[0], v[1], v[2], v[3], p, add);
}
GLMOCR_INLINE float largest_of(F v) {
  __m128 half = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  half = _mm_max_ps(half, _mm_movehl_ps(half, half));
  return _mm_cvtss_f32(_mm_max_ss(half, _mm_movehdup_ps(half)));
}

GLMOCR_INLINE I bf16_bits(F v) {
  const I raw = _mm256_castps_si256(v);
  const I odd = _mm256_and_si256(_mm256_srli_epi32(raw, 16), _mm256_set1_epi32(1));
  const I rounded = _mm256_add_epi32(raw, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7FFF)));
  const I quiet = _mm256_or_si256(raw, _mm256_set1_epi32(0x400000));
  const I nan = _mm256_castps_si256(_mm256_cmp_ps(v, v, _CMP_UNORD_Q));
  return _mm256_and_si256(_mm256_blendv_epi8(rounded, quiet, nan), _mm256_set1_epi32(-0x10000));
}
GLMOCR_INLINE F round_bf16(F v) { return _mm256_castsi256_ps(bf16_bits(v)); }

GLMOCR_INLINE F load(const float* p) { return _mm256_loadu_ps(p); }
GLMOCR_INLINE F load(const Bf16* p) {
  const __m128i half = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(half), 16));
}
GLMOCR_INLINE F load(const F16* p) {
  return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}
GLMOCR_INLINE void store(float* p, F v) { _mm256_storeu_ps(p, v); }
GLMOCR_INLINE void store(Bf16* p, F v) {
  const I half = _mm256_srli_epi32(bf16_bits(v), 16);
  const I packed = _mm256_permute4x64_epi64(_mm256_packus_epi32(half, half), 0x08);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm256_castsi256_si128(packed));
}

GLMOCR_INLINE I first_lanes(int64_t n) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int32_t>(n)),
                            _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
GLMOCR_INLINE F load_part(const float* p, int64_t n) { return _mm256_maskload_ps(p, first_lanes(n)); }
template <class T>
GLMOCR_INLINE F load_part(const T* p, int64_t n) {
  T values[kLanes] = {};
  for (int64_t i = 0; i < n; ++i) values[i] = p[i];
  return load(values);
}
GLMOCR_INLINE void store_part(float* p, F v, int64_t n) { _mm256_maskstore_ps(p, first_lanes(n), v); }
GLMOCR_INLINE void store_part(Bf16* p, F v, int64_t n) {
  Bf16 values[kLanes];
  store(values, v);
  for (int64_t i = 0; i < n; ++i) p[i] = values[i];
}

// Words of two values: vec_baseline.h.
GLMOCR_INLINE F load_words(const Bf16* p, int64_t n) {
  if (n >= 2 * kLanes) return _mm256_castsi256_ps(_mm256_loadu_si256(reinterpret_cast<const I*>(p)));
  Bf16 values[2 * kLanes] = {};
  for (int64_t i = 0; i < n; ++i) values[i] = p[i];
  return _mm256_castsi256_ps(_mm256_loadu_si256(reinterpret_cast<const I*>(values)));
}
GLMOCR_INLINE void store_words(Bf16* p, F v) {
  _mm256_storeu_si256(reinterpret_cast<I*>(p), _mm256_castps_si256(v));
}
GLMOCR_INLINE F first_of_words(F v) {
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_castps_si256(v), 16));
}
GLMOCR_INLINE F second_of_words(F v) {
  return _mm256_and_ps(v, _mm256_castsi256_ps(_mm256_set1_epi32(-0x10000)));
}

// Products in eight bits: vec_baseline.h. By vpmaddwd on widened values, which is exact.
constexpr int kByteDepth = 2;
constexpr int kByteWord = 4;
constexpr int kByteRows = kRows;
constexpr int kByteOffset = 0;
GLMOCR_INLINE I load_ints(const int32_t* p) { return _mm256_loadu_si256(reinterpret_cast<const I*>(p)); }
GLMOCR_INLINE I add_byte_products(I sum, int32_t word, const int8_t* w) {
  const I wide = _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(w)));
  return _mm256_add_epi32(sum, _mm256_madd_epi16(wide, _mm256_set1_epi32(word)));
}
GLMOCR_INLINE F to_floats(I v) { return _mm256_cvtepi32_ps(v); }
GLMOCR_INLINE F magnitude(F v) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), v); }
GLMOCR_INLINE void store_word_values(void* p, F v) {
  const I whole = _mm256_cvtps_epi32(v);
  _mm_storeu_si128(static_cast<__m128i*>(p),
                   _mm_packs_epi32(_mm256_castsi256_si128(whole), _mm256_extracti128_si256(whole, 1)));
}

GLMOCR_INLINE void transpose(F* v) {
  F a[8], b[8];
  for (int i = 0; i < 4; ++i) {
    a[2 * i] = _mm256_unpacklo_ps(v[2 * i], v[2 * i + 1]);
    a[2 * i + 1] = _mm256_unpackhi_ps(v[2 * i], v[2 * i + 1]);
  }
  for (int i = 0; i < 2; ++i) {
    b[4 * i] = _mm256_shuffle_ps(a[4 * i], a[4 * i + 2], 0x44);
    b[4 * i + 1] = _mm256_shuffle_ps(a[4 * i], a[4 * i + 2], 0xEE);
    b[4 * i + 2] = _mm256_shuffle_ps(a[4 * i + 1], a[4 * i + 3], 0x44);
    b[4 * i + 3] = _mm256_shuffle_ps(a[4 * i + 1], a[4 * i + 3], 0xEE);
  }
  for (int i = 0; i < 4; ++i) {
    v[i] = _mm256_permute2f128_ps(b[i], b[i + 4], 0x20);
    v[i + 4] = _mm256_permute2f128_ps(b[i], b[i + 4], 0x31);
  }
}

GLMOCR_INLINE void deinterleave(F a, F b, F* x, F* y) {
  const F low = _mm256_permute2f128_ps(a, b, 0x20), high = _mm256_permute2f128_ps(a, b, 0x31);
  *x = _mm256_shuffle_ps(low, high, 0x88);
  *y = _mm256_shuffle_ps(low, high, 0xDD);
}
GLMOCR_INLINE void interleave(F x, F y, F* a, F* b) {
  const F low = _mm256_unpacklo_ps(x, y), high = _mm256_unpackhi_ps(x, y);
  *a = _mm256_permute2f128_ps(low, high, 0x20);
  *b = _mm256_permute2f128_ps(low, high, 0x31);
}

}  // namespace glmocr::cpu::GLMOCR_ISA
