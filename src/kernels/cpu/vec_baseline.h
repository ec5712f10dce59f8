// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <stdint.h>

#include "kernels/cpu/kernel_table.h"

// Four lanes in the compilers' portable vector types: SSE2 on x86-64, NEON on arm64, plain code elsewhere.
// vec_avx2.h and vec_avx512.h offer the same names.
#define GLMOCR_INLINE __attribute__((always_inline)) inline

namespace glmocr::cpu::GLMOCR_ISA {

constexpr int kLanes = 4;
constexpr int kRows = 6;  // of the GEMM micro-kernel: 6 × 2 accumulators of 16 registers

typedef float F __attribute__((vector_size(16)));
typedef int32_t I __attribute__((vector_size(16)));
typedef I Mask;

GLMOCR_INLINE F set(float v) { return F{v, v, v, v}; }
GLMOCR_INLINE I set_int(int32_t v) { return I{v, v, v, v}; }
GLMOCR_INLINE F zero() { return set(0); }
GLMOCR_INLINE I bits(F v) { return reinterpret_cast<I>(v); }
GLMOCR_INLINE F from_bits(I v) { return reinterpret_cast<F>(v); }
GLMOCR_INLINE F select(Mask mask, F yes, F no) { return from_bits((mask & bits(yes)) | (~mask & bits(no))); }
GLMOCR_INLINE Mask less(F a, F b) { return a < b; }
GLMOCR_INLINE bool any_equal(F a, F b) {
  const I equal = a == b;
  return (equal[0] | equal[1] | equal[2] | equal[3]) != 0;
}
GLMOCR_INLINE F fma(F a, F b, F c) { return a * b + c; }
GLMOCR_INLINE F fnma(F a, F b, F c) { return c - a * b; }
// The second operand where either is NaN, as on x86.
GLMOCR_INLINE F max(F a, F b) { return select(a > b, a, b); }
GLMOCR_INLINE F min(F a, F b) { return select(a < b, a, b); }
// The nearest integer, for |v| < 2^22.
GLMOCR_INLINE F round_even(F v) {
  const F magic = set(0x1.8p23f);
  return (v + magic) - magic;
}
// v · 2^n in two steps, so that results may be subnormal or infinite; n an integer in [-252, 254].
GLMOCR_INLINE F scale_pow2(F v, F n) {
  const I whole = __builtin_convertvector(n, I), half = whole >> 1;
  return v * from_bits((half + 127) << 23) * from_bits((whole - half + 127) << 23);
}
// v · 2^n where 2^n and the result are normal numbers.
GLMOCR_INLINE F times_pow2(F v, F n) { return v * from_bits((__builtin_convertvector(n, I) + 127) << 23); }
// Without the low 12 bits of the mantissa, so that the square is exact.
GLMOCR_INLINE F truncate(F v) { return from_bits(bits(v) & set_int(-0x1000)); }

GLMOCR_INLINE float sum(F v) { return (v[0] + v[2]) + (v[1] + v[3]); }
// The sums of the lanes of four vectors, stored to four floats or added to them.
GLMOCR_INLINE void store_sums(const F* v, float* p, bool add) {
  const F a = v[0], b = v[1], c = v[2], d = v[3];
  F total = (F{a[0], b[0], c[0], d[0]} + F{a[1], b[1], c[1], d[1]}) +
            (F{a[2], b[2], c[2], d[2]} + F{a[3], b[3], c[3], d[3]});
  for (int i = 0; i < 4; ++i) p[i] = add ? p[i] + total[i] : total[i];
}
GLMOCR_INLINE float largest_of(F v) {
  const float a = v[0] > v[1] ? v[0] : v[1], b = v[2] > v[3] ? v[2] : v[3];
  return a > b ? a : b;
}

// Rounded to bf16 (to nearest, ties to even; NaN stays NaN), in the upper 16 bits of each lane.
GLMOCR_INLINE I bf16_bits(F v) {
  const I raw = bits(v);
  const I rounded = raw + 0x7FFF + ((raw >> 16) & 1);
  const Mask nan = v != v;
  return ((nan & (raw | 0x400000)) | (~nan & rounded)) & set_int(-0x10000);
}
GLMOCR_INLINE F round_bf16(F v) { return from_bits(bf16_bits(v)); }

GLMOCR_INLINE float half_to_float(uint16_t h) {
  const uint32_t sign = static_cast<uint32_t>(h & 0x8000) << 16;
  const uint32_t exponent = h >> 10 & 0x1F, mantissa = h & 0x3FF;
  if (exponent == 0) {
    const float magnitude = static_cast<float>(mantissa) * 0x1p-24f;
    return sign ? -magnitude : magnitude;
  }
  const uint32_t value = sign | (exponent == 0x1F ? 0xFF : exponent + 112) << 23 | mantissa << 13;
  float result;
  __builtin_memcpy(&result, &value, sizeof result);
  return result;
}

GLMOCR_INLINE F load(const float* p) {
  F v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}
GLMOCR_INLINE F load(const Bf16* p) {
  typedef uint16_t Half __attribute__((vector_size(8)));
  Half half;
  __builtin_memcpy(&half, p, sizeof half);
  return from_bits(__builtin_convertvector(half, I) << 16);
}
GLMOCR_INLINE F load(const F16* p) {
  uint16_t half[kLanes];
  __builtin_memcpy(half, p, sizeof half);
  return F{half_to_float(half[0]), half_to_float(half[1]), half_to_float(half[2]), half_to_float(half[3])};
}
GLMOCR_INLINE void store(float* p, F v) { __builtin_memcpy(p, &v, sizeof v); }
GLMOCR_INLINE void store(Bf16* p, F v) {
  const I raw = bf16_bits(v) >> 16;
  const uint16_t half[kLanes] = {static_cast<uint16_t>(raw[0]), static_cast<uint16_t>(raw[1]),
                                 static_cast<uint16_t>(raw[2]), static_cast<uint16_t>(raw[3])};
  __builtin_memcpy(p, half, sizeof half);
}

// The first n values, 0 < n < kLanes; the other lanes are zero.
template <class T>
GLMOCR_INLINE F load_part(const T* p, int64_t n) {
  T values[kLanes] = {};
  for (int64_t i = 0; i < n; ++i) values[i] = p[i];
  return load(values);
}
template <class T>
GLMOCR_INLINE void store_part(T* p, F v, int64_t n) {
  T values[kLanes];
  store(values, v);
  for (int64_t i = 0; i < n; ++i) p[i] = values[i];
}

// Words of two neighbouring values of bf16, as lanes: load_words of the n values that are left, what is missing zero; and the
// first or the second value of each, widened.
GLMOCR_INLINE F load_words(const Bf16* p, int64_t n) {
  Bf16 values[2 * kLanes] = {};
  for (int64_t i = 0; i < n && i < 2 * kLanes; ++i) values[i] = p[i];
  F v;
  __builtin_memcpy(&v, values, sizeof v);
  return v;
}
GLMOCR_INLINE void store_words(Bf16* p, F v) { __builtin_memcpy(p, &v, sizeof v); }
GLMOCR_INLINE F first_of_words(F v) { return from_bits(bits(v) << 16); }
GLMOCR_INLINE F second_of_words(F v) { return from_bits(bits(v) & set_int(-0x10000)); }

// Products in eight bits. add_byte_products adds kByteDepth products to each lane: those of the lane's weights, next to
// each other at w, and of the values in a word, which is the same in all lanes.
constexpr int kByteDepth = 2;
constexpr int kByteWord = 4;
constexpr int kByteRows = kRows;
constexpr int kByteOffset = 0;  // of values in a word
GLMOCR_INLINE I load_ints(const int32_t* p) {
  I v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}
GLMOCR_INLINE I add_byte_products(I sum, int32_t word, const int8_t* w) {
  const int32_t low = static_cast<int16_t>(word & 0xFFFF), high = word >> 16;
  for (int lane = 0; lane < kLanes; ++lane) sum[lane] += low * w[2 * lane] + high * w[2 * lane + 1];
  return sum;
}
GLMOCR_INLINE F to_floats(I v) { return __builtin_convertvector(v, F); }
GLMOCR_INLINE F magnitude(F v) { return from_bits(bits(v) & set_int(0x7FFFFFFF)); }
// kLanes whole numbers as values of words, kByteOffset added.
GLMOCR_INLINE void store_word_values(void* p, F v) {
  int16_t values[kLanes];
  for (int lane = 0; lane < kLanes; ++lane) values[lane] = static_cast<int16_t>(v[lane]);
  __builtin_memcpy(p, values, sizeof values);
}

GLMOCR_INLINE void transpose(F* v) {
  const F a = v[0], b = v[1], c = v[2], d = v[3];
  for (int i = 0; i < kLanes; ++i) v[i] = F{a[i], b[i], c[i], d[i]};
}

// From pairs (x0 y0 x1 y1 …) in two vectors to (x…) and (y…), and back.
GLMOCR_INLINE void deinterleave(F a, F b, F* x, F* y) {
  *x = F{a[0], a[2], b[0], b[2]};
  *y = F{a[1], a[3], b[1], b[3]};
}
GLMOCR_INLINE void interleave(F x, F y, F* a, F* b) {
  *a = F{x[0], y[0], x[1], y[1]};
  *b = F{x[2], y[2], x[3], y[3]};
}

}  // namespace glmocr::cpu::GLMOCR_ISA
