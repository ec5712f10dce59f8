// SPDX-License-Identifier: Apache-2.0
#include "kernels/cpu/simd.h"
#include "kernels/cpu/simd_kernels.h"

namespace glmocr::cpu::GLMOCR_ISA {
namespace {

// Pairs (x[i], x[i + pairs]); fp32, rounded once.
template <class T>
GLMOCR_INLINE void rotate_halves(const T* x, const float* cos, const float* sin, int64_t pairs, T* out) {
  for (int64_t p = 0; p < pairs; p += kLanes) {
    const int64_t n = pairs - p;
    const F a = load_some(x + p, n), b = load_some(x + pairs + p, n);
    const F c = load_some(cos + p, n), s = load_some(sin + p, n);
    store_some(out + p, a * c - b * s, n);
    store_some(out + pairs + p, b * c + a * s, n);
  }
}

// Pairs (x[2i], x[2i + 1]); products and their sum are rounded to T.
template <class T>
GLMOCR_INLINE void rotate_pairs(const T* x, const float* cos, const float* sin, int64_t pairs, T* out) {
  for (int64_t p = 0; p < pairs; p += kLanes) {
    const int64_t n = pairs - p, in_first = 2 * n < kLanes ? 2 * n : kLanes, in_second = 2 * n - kLanes;
    F a = load_some(x + 2 * p, in_first),
      b = in_second > 0 ? load_some(x + 2 * p + kLanes, in_second) : zero();
    const F c = load_some(cos + p, n), s = load_some(sin + p, n);
    F left, right;
    deinterleave(a, b, &left, &right);
    interleave(rounded<T>(left * c) - rounded<T>(right * s), rounded<T>(right * c) + rounded<T>(left * s), &a,
               &b);
    store_some(out + 2 * p, a, in_first);
    if (in_second > 0) store_some(out + 2 * p + kLanes, b, in_second);
  }
}

template <class To, class From>
GLMOCR_INLINE void convert_values(void* to, const void* from, int64_t n) {
  To* out = static_cast<To*>(to);
  const From* in = static_cast<const From*>(from);
  for (int64_t i = 0; i < n; i += kLanes) store_some(out + i, load_some(in + i, n - i), n - i);
}

}  // namespace

void rope(const RopeTask& task) {
  with_compute_type(task.type, [&](auto tag) {
    using T = decltype(tag);
    const T* x = static_cast<const T*>(task.x);
    T* out = static_cast<T*>(task.out);
    for (int64_t h = 0; h < task.heads; ++h, x += task.head_stride, out += task.dim) {
      if (task.interleaved) {
        rotate_pairs(x, task.cos, task.sin, task.dim / 2, out);
      } else {
        rotate_halves(x, task.cos, task.sin, task.dim / 2, out);
      }
    }
  });
}

void activate(void* out, const void* x, Type type, int64_t n, Nonlinearity activation) {
  with_compute_type(type, [&](auto tag) {
    using T = decltype(tag);
    const T* in = static_cast<const T*>(x);
    T* to = static_cast<T*>(out);
    for (int64_t i = 0; i < n; i += kLanes)
      store_some(to + i, apply(activation, load_some(in + i, n - i)), n - i);
  });
}

void swiglu(void* out, const void* gate, const void* up, Type type, int64_t n) {
  with_compute_type(type, [&](auto tag) {
    using T = decltype(tag);
    const T* g = static_cast<const T*>(gate);
    const T* u = static_cast<const T*>(up);
    T* to = static_cast<T*>(out);
    for (int64_t i = 0; i < n; i += kLanes) {
      const F gated = rounded<T>(silu(load_some(g + i, n - i)));
      store_some(to + i, gated * load_some(u + i, n - i), n - i);
    }
  });
}

void convert(void* to, Type to_type, const void* from, Type from_type, int64_t n) {
  with_compute_type(to_type, [&](auto to_tag) {
    with_type(from_type,
              [&](auto from_tag) { convert_values<decltype(to_tag), decltype(from_tag)>(to, from, n); });
  });
}

void greedy(const void* values, Type type, int64_t n, float* largest, int64_t* index, double* sum_of_exp) {
  with_compute_type(type, [&](auto tag) {
    using T = decltype(tag);
    const T* x = static_cast<const T*>(values);
    const F lowest = set(-__builtin_inff());
    F best = lowest;
    int64_t i = 0;
    F spoilt = zero();  // NaN in the lanes that have met NaN or infinity, which max may lose
    for (; i + kLanes <= n; i += kLanes) {
      const F values = load(x + i);
      best = max(best, values);
      spoilt = fma(values, zero(), spoilt);
    }
    float rest[kLanes];
    store(rest, lowest);
    if (i < n) {
      const F values = load_part(x + i, n - i);
      store(rest, values);
      spoilt = fma(values, zero(), spoilt);
    }
    if (sum(spoilt) != 0) {
      *index = -1;
      return;
    }
    float top = largest_of(best);
    for (int64_t j = 0; j < n - i; ++j) top = rest[j] > top ? rest[j] : top;

    const F wanted = set(top);
    for (i = 0; i + kLanes <= n && !any_equal(load(x + i), wanted);) i += kLanes;
    float at[kLanes];
    store(at, i + kLanes <= n ? load(x + i) : i < n ? load_part(x + i, n - i) : lowest);
    int64_t lane = 0;
    while (lane + 1 < kLanes && i + lane + 1 < n && at[lane] != top) ++lane;

    // A lane sums 256 terms of at most 1 in fp32; the sums of the chunks are added in double.
    constexpr int64_t kChunk = 256 * kLanes;
    double total = 0;
    for (int64_t begin = 0; begin < n; begin += kChunk) {
      const int64_t end = begin + kChunk < n ? begin + kChunk : n;
      F terms = zero();
      int64_t j = begin;
      for (; j + kLanes <= end; j += kLanes) terms = terms + exp(load(x + j) - wanted);
      total += sum(terms);
      if (j < end) {
        store(rest, exp(load_part(x + j, end - j) - wanted));
        for (int64_t l = 0; l < end - j; ++l) total += rest[l];
      }
    }
    *largest = top;
    *index = i + lane;
    *sum_of_exp = total;
  });
}

}  // namespace glmocr::cpu::GLMOCR_ISA
