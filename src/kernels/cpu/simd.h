// SPDX-License-Identifier: Apache-2.0
#pragma once
#include GLMOCR_VEC_HEADER

// What the simd_*.cc files share: partial vectors, rounding to the compute type, exp and the activations
// built on it.
namespace glmocr::cpu::GLMOCR_ISA {

// The first values of the n that are left: kLanes, or n if there are fewer.
template <class T>
GLMOCR_INLINE F load_some(const T* p, int64_t n) {
  return n >= kLanes ? load(p) : load_part(p, n);
}
template <class T>
GLMOCR_INLINE void store_some(T* p, F v, int64_t n) {
  if (n >= kLanes) {
    store(p, v);
  } else {
    store_part(p, v, n);
  }
}

// The value as a tensor of T holds it.
template <class T>
GLMOCR_INLINE F rounded(F v) {
  if constexpr (sizeof(T) == 2) {
    return round_bf16(v);
  } else {
    return v;
  }
}

// x = n · ln(2) + r with |r| <= ln(2)/2: here n.
GLMOCR_INLINE F whole_ln2s(F x) { return round_even(x * set(0x1.715476p+0f)); }
// And r, by Cody and Waite's reduction, which takes n · ln(2) off in two parts to lose no digits.
GLMOCR_INLINE F without_ln2(F x, F n) { return fnma(n, set(-2.12194440e-4f), fnma(n, set(0.693359375f), x)); }
// exp(r) for |r| <= ln(2)/2 by a fitted polynomial (relative error 8e-9).
GLMOCR_INLINE F exp_reduced(F r) {
  F p = set(0.0013901315f);
  p = fma(p, r, set(0.0083632138f));
  p = fma(p, r, set(0.041666854f));
  p = fma(p, r, set(0.16666577f));
  p = fma(p, r, set(0.5f));
  p = fma(p * r, r, r);
  return p + set(1);
}

// exp(x + low) for |low| much smaller than 1, within 1 ulp from -104 to 88.7; 0 or infinity beyond. NaN stays
// NaN.
GLMOCR_INLINE F exp(F x, F low) {
  x = min(set(89), max(set(-105), x));
  const F n = whole_ln2s(x);
  return scale_pow2(exp_reduced(without_ln2(x, n) + low), n);
}
GLMOCR_INLINE F exp(F x) { return exp(x, zero()); }

// 2^x for x <= 0, within 1 ulp down to -126; below that 0. NaN stays NaN.
GLMOCR_INLINE F exp2_falling(F x) {
  const F lowest = set(-126), clamped = max(lowest, x), n = round_even(clamped);
  return select(less(x, lowest), zero(), times_pow2(exp_reduced((clamped - n) * set(0.69314718f)), n));
}

GLMOCR_INLINE F silu(F x) { return x / (set(1) + exp(zero() - x)); }

// x · Φ(x) by erf, within 4 ulp for every x (measured at a million points on each side of zero). With z = |x|
// / √2: erfc(z) = exp(−z²) · t · Q(u), t = 2 / (2 + z), u = 1 − 2t; Q is a polynomial fitted to exp(z²) ·
// erfc(z) / t on [0, 10.3] (relative error 4e-8). z² = x² / 2 is given to exp in two parts, so that no digits
// are lost.
GLMOCR_INLINE F gelu(F x) {
  const F size = min(set(17), max(zero() - x, x));  // in this order NaN stays NaN
  const F t = set(1) / fma(size, set(0.35355339f), set(1));
  const F u = set(1) - t - t;
  F q = set(-0.00023105125f);
  q = fma(q, u, set(-0.00037789383f));
  q = fma(q, u, set(0.0014894842f));
  q = fma(q, u, set(0.0032189847f));
  q = fma(q, u, set(-0.010741691f));
  q = fma(q, u, set(-0.018217649f));
  q = fma(q, u, set(0.13973480f));
  q = fma(q, u, set(-0.34358048f));
  q = fma(q, u, set(0.51079136f));
  const F high = truncate(size), minus_half = set(-0.5f);
  const F half_tail =
      set(0.5f) * q * t * exp(high * high * minus_half, (size - high) * (size + high) * minus_half);
  return x * select(less(x, zero()), half_tail, set(1) - half_tail);
}

GLMOCR_INLINE F apply(Nonlinearity activation, F x) {
  switch (activation) {
    case Nonlinearity::silu:
      return silu(x);
    case Nonlinearity::gelu:
      return gelu(x);
    case Nonlinearity::relu:
      return select(less(x, zero()), zero(), x);  // NaN stays NaN
    default:
      return x;
  }
}

// Calls body with a value of the stored type: with_type(type, [&](auto tag) { using T = decltype(tag); … }).
template <class Body>
GLMOCR_INLINE void with_type(Type type, Body body) {
  switch (type) {
    case Type::f32:
      return body(float{});
    case Type::bf16:
      return body(Bf16{});
    case Type::f16:
      return body(F16{});
  }
}
// The same for the two compute types.
template <class Body>
GLMOCR_INLINE void with_compute_type(Type type, Body body) {
  if (type == Type::bf16) return body(Bf16{});
  return body(float{});
}

constexpr int64_t round_up(int64_t n, int64_t unit) { return (n + unit - 1) / unit * unit; }

}  // namespace glmocr::cpu::GLMOCR_ISA
