// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <immintrin.h>
#include <stdint.h>

#include "kernels/cpu/kernel_table.h"

// Sixteen lanes: AVX-512 F, BW, DQ, VL. The names are explained in vec_baseline.h.
#define GLMOCR_INLINE __attribute__((always_inline)) inline

namespace glmocr::cpu::GLMOCR_ISA {

constexpr int kLanes = 16;
constexpr int kRows = 12;  // 12 × 2 accumulators of 32 registers

using F = __m512;
using I = __m512i;
using Mask = __mmask16;

GLMOCR_INLINE F set(float v) { return _mm512_set1_ps(v); }
GLMOCR_INLINE F zero() { return _mm512_setzero_ps(); }
GLMOCR_INLINE F select(Mask mask, F yes, F no) { return _mm512_mask_blend_ps(mask, no, yes); }
GLMOCR_INLINE Mask less(F a, F b) { return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ); }
GLMOCR_INLINE bool any_equal(F a, F b) { return _mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ) != 0; }
GLMOCR_INLINE F fma(F a, F b, F c) { return _mm512_fmadd_ps(a, b, c); }
GLMOCR_INLINE F fnma(F a, F b, F c) { return _mm512_fnmadd_ps(a, b, c); }
GLMOCR_INLINE F max(F a, F b) { return _mm512_max_ps(a, b); }
GLMOCR_INLINE F min(F a, F b) { return _mm512_min_ps(a, b); }
GLMOCR_INLINE F round_even(F v) {
  return _mm512_roundscale_ps(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
GLMOCR_INLINE F scale_pow2(F v, F n) { return _mm512_scalef_ps(v, n); }
GLMOCR_INLINE F times_pow2(F v, F n) { return _mm512_scalef_ps(v, n); }
GLMOCR_INLINE F truncate(F v) {
  return _mm512_castsi512_ps(_mm512_and_si512(_mm512_castps_si512(v), _mm512_set1_epi32(-0x1000)));
}

GLMOCR_INLINE float sum(F v) { return _mm512_reduce_add_ps(v); }
GLMOCR_INLINE void store_sums_256(__m256 a, __m256 b, __m256 c, __m256 d, float* p, bool add) {
  const __m256 quads = _mm256_hadd_ps(_mm256_hadd_ps(a, b), _mm256_hadd_ps(c, d));
  const __m128 total = _mm_add_ps(_mm256_castps256_ps128(quads), _mm256_extractf128_ps(quads, 1));
  _mm_storeu_ps(p, add ? _mm_add_ps(_mm_loadu_ps(p), total) : total);
}
GLMOCR_INLINE __m256 fold(F v) {
  return _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
}
GLMOCR_INLINE void store_sums(const F* v, float* p, bool add) {
  store_sums_256(fold(v[0]), fold(v[1]), fold(v[2]), fold(v[3]), p, add);
}
GLMOCR_INLINE float largest_of(F v) { return _mm512_reduce_max_ps(v); }

GLMOCR_INLINE I bf16_bits(F v) {
  const I raw = _mm512_castps_si512(v);
  const I odd = _mm512_and_si512(_mm512_srli_epi32(raw, 16), _mm512_set1_epi32(1));
  const I rounded = _mm512_add_epi32(raw, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7FFF)));
  const Mask nan = _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q);
  const I result = _mm512_mask_or_epi32(rounded, nan, raw, _mm512_set1_epi32(0x400000));
  return _mm512_and_si512(result, _mm512_set1_epi32(-0x10000));
}
GLMOCR_INLINE F round_bf16(F v) { return _mm512_castsi512_ps(bf16_bits(v)); }

GLMOCR_INLINE F widen_bf16(__m256i half) {
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16));
}
GLMOCR_INLINE F load(const float* p) { return _mm512_loadu_ps(p); }
GLMOCR_INLINE F load(const Bf16* p) {
  return widen_bf16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}
GLMOCR_INLINE F load(const F16* p) {
  return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}
GLMOCR_INLINE __m256i narrow_bf16(F v) { return _mm512_cvtepi32_epi16(_mm512_srli_epi32(bf16_bits(v), 16)); }
GLMOCR_INLINE void store(float* p, F v) { _mm512_storeu_ps(p, v); }
GLMOCR_INLINE void store(Bf16* p, F v) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), narrow_bf16(v)); }

GLMOCR_INLINE Mask first_lanes(int64_t n) { return static_cast<Mask>((1u << n) - 1); }
GLMOCR_INLINE F load_part(const float* p, int64_t n) { return _mm512_maskz_loadu_ps(first_lanes(n), p); }
GLMOCR_INLINE F load_part(const Bf16* p, int64_t n) {
  return widen_bf16(_mm256_maskz_loadu_epi16(first_lanes(n), p));
}
GLMOCR_INLINE F load_part(const F16* p, int64_t n) {
  return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(first_lanes(n), p));
}
GLMOCR_INLINE void store_part(float* p, F v, int64_t n) { _mm512_mask_storeu_ps(p, first_lanes(n), v); }
GLMOCR_INLINE void store_part(Bf16* p, F v, int64_t n) {
  _mm256_mask_storeu_epi16(p, first_lanes(n), narrow_bf16(v));
}

// Words of two values: vec_baseline.h.
GLMOCR_INLINE F load_words(const Bf16* p, int64_t n) {
  const I v = n >= 2 * kLanes ? _mm512_loadu_si512(p) : _mm512_maskz_loadu_epi16((1u << n) - 1, p);
  return _mm512_castsi512_ps(v);
}
GLMOCR_INLINE void store_words(Bf16* p, F v) { _mm512_storeu_si512(p, _mm512_castps_si512(v)); }
GLMOCR_INLINE F first_of_words(F v) {
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_castps_si512(v), 16));
}
GLMOCR_INLINE F second_of_words(F v) {
  return _mm512_castsi512_ps(_mm512_and_si512(_mm512_castps_si512(v), _mm512_set1_epi32(-0x10000)));
}

// Products in eight bits: vec_baseline.h. vpdpbusd takes one operand without sign.
GLMOCR_INLINE I load_ints(const int32_t* p) { return _mm512_loadu_si512(p); }
GLMOCR_INLINE F to_floats(I v) { return _mm512_cvtepi32_ps(v); }
GLMOCR_INLINE F magnitude(F v) { return _mm512_abs_ps(v); }
#ifdef __AMX_INT8__
constexpr int kByteDepth = 64;
constexpr int kByteWord = 64;
constexpr int kByteRows = 32;
constexpr int kByteOffset = 0;
GLMOCR_INLINE void store_word_values(void* p, F v) {
  _mm_storeu_si128(static_cast<__m128i*>(p), _mm512_cvtsepi32_epi8(_mm512_cvtps_epi32(v)));
}
#elif defined(__AVX512VNNI__)
constexpr int kByteDepth = 4;
constexpr int kByteWord = 4;
constexpr int kByteRows = kRows;
constexpr int kByteOffset = 128;
GLMOCR_INLINE I add_byte_products(I sum, int32_t word, const int8_t* w) {
  // gcc 12 keeps sums in memory where it sees the types of the intrinsic.
  __asm__("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(_mm512_set1_epi32(word)), "v"(_mm512_loadu_si512(w)));
  return sum;
}
GLMOCR_INLINE void store_word_values(void* p, F v) {
  const I whole = _mm512_add_epi32(_mm512_cvtps_epi32(v), _mm512_set1_epi32(kByteOffset));
  _mm_storeu_si128(static_cast<__m128i*>(p), _mm512_cvtepi32_epi8(whole));
}
#else
constexpr int kByteDepth = 2;
constexpr int kByteWord = 4;
constexpr int kByteRows = kRows;
constexpr int kByteOffset = 0;
GLMOCR_INLINE I add_byte_products(I sum, int32_t word, const int8_t* w) {
  const I wide = _mm512_cvtepi8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(w)));
  return _mm512_add_epi32(sum, _mm512_madd_epi16(wide, _mm512_set1_epi32(word)));
}
GLMOCR_INLINE void store_word_values(void* p, F v) {
  _mm256_storeu_si256(static_cast<__m256i*>(p), _mm512_cvtepi32_epi16(_mm512_cvtps_epi32(v)));
}
#endif

#ifdef __AVX512BF16__
// Neighbouring values of bf16, as vdpbf16ps multiplies them: lane l adds the products of pair l to its sum.
// Products and sums in fp32; values below the smallest normal number count as zero.
constexpr int kPairLanes = 2 * kLanes;
using Pairs = __m512bh;
GLMOCR_INLINE Pairs load_pairs(const Bf16* p) { return reinterpret_cast<Pairs>(_mm512_loadu_si512(p)); }
GLMOCR_INLINE Pairs load_part_pairs(const Bf16* p, int64_t n) {  // 0 < n < kPairLanes
  return reinterpret_cast<Pairs>(_mm512_maskz_loadu_epi16((1u << n) - 1, p));
}
GLMOCR_INLINE F add_products(Pairs a, Pairs b, F sum) { return _mm512_dpbf16_ps(sum, a, b); }
GLMOCR_INLINE Pairs round_pairs(F low, F high) { return _mm512_cvtne2ps_pbh(high, low); }
GLMOCR_INLINE void store_pairs(Bf16* p, Pairs v) { _mm512_storeu_si512(p, reinterpret_cast<I>(v)); }
// 2^x within 3e-6 of its size; 0 below 2^-126. NaN stays NaN.
GLMOCR_INLINE F exp2_short(F x) {
  const F part = _mm512_reduce_ps(x, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);  // x − floor(x)
  F p = set(0.013534168f);
  p = _mm512_fmadd_ps(p, part, set(0.05201146f));
  p = _mm512_fmadd_ps(p, part, set(0.24144275f));
  p = _mm512_fmadd_ps(p, part, set(0.69300383f));
  p = _mm512_fmadd_ps(p, part, set(1.0000026f));
  return _mm512_scalef_ps(p, x);
}
#endif

GLMOCR_INLINE void transpose(F* v) {
  F a[16], b[16];
  for (int i = 0; i < 8; ++i) {  // pairs of rows
    a[2 * i] = _mm512_unpacklo_ps(v[2 * i], v[2 * i + 1]);
    a[2 * i + 1] = _mm512_unpackhi_ps(v[2 * i], v[2 * i + 1]);
  }
  for (int i = 0; i < 4; ++i) {  // fours of rows: b[4i + c] has column c of every quarter
    b[4 * i] = _mm512_shuffle_ps(a[4 * i], a[4 * i + 2], 0x44);
    b[4 * i + 1] = _mm512_shuffle_ps(a[4 * i], a[4 * i + 2], 0xEE);
    b[4 * i + 2] = _mm512_shuffle_ps(a[4 * i + 1], a[4 * i + 3], 0x44);
    b[4 * i + 3] = _mm512_shuffle_ps(a[4 * i + 1], a[4 * i + 3], 0xEE);
  }
  for (int c = 0; c < 4; ++c) {  // quarters to their rows
    const F low01 = _mm512_shuffle_f32x4(b[c], b[4 + c], 0x44),
            high01 = _mm512_shuffle_f32x4(b[c], b[4 + c], 0xEE);
    const F low23 = _mm512_shuffle_f32x4(b[8 + c], b[12 + c], 0x44);
    const F high23 = _mm512_shuffle_f32x4(b[8 + c], b[12 + c], 0xEE);
    v[c] = _mm512_shuffle_f32x4(low01, low23, 0x88);
    v[4 + c] = _mm512_shuffle_f32x4(low01, low23, 0xDD);
    v[8 + c] = _mm512_shuffle_f32x4(high01, high23, 0x88);
    v[12 + c] = _mm512_shuffle_f32x4(high01, high23, 0xDD);
  }
}

GLMOCR_INLINE void deinterleave(F a, F b, F* x, F* y) {
  const I even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
  const I odd = _mm512_add_epi32(even, _mm512_set1_epi32(1));
  *x = _mm512_permutex2var_ps(a, even, b);
  *y = _mm512_permutex2var_ps(a, odd, b);
}
GLMOCR_INLINE void interleave(F x, F y, F* a, F* b) {
  const I low = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
  *a = _mm512_permutex2var_ps(x, low, y);
  *b = _mm512_permutex2var_ps(x, _mm512_add_epi32(low, _mm512_set1_epi32(8)), y);
}

}  // namespace glmocr::cpu::GLMOCR_ISA
