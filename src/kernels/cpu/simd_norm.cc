// SPDX-License-Identifier: Apache-2.0
#include "kernels/cpu/simd.h"
#include "kernels/cpu/simd_kernels.h"

namespace glmocr::cpu::GLMOCR_ISA {
namespace {

// The sum of squared distances from `centre`, in two chains of additions.
template <class T>
GLMOCR_INLINE float sum_squares(const T* x, int64_t width, float centre) {
  const F middle = set(centre);
  F even = zero(), odd = zero();
  int64_t c = 0;
  for (; c + 2 * kLanes <= width; c += 2 * kLanes) {
    const F a = load(x + c) - middle, b = load(x + c + kLanes) - middle;
    even = fma(a, a, even);
    odd = fma(b, b, odd);
  }
  for (; c + kLanes <= width; c += kLanes) {
    const F a = load(x + c) - middle;
    even = fma(a, a, even);
  }
  float total = sum(even + odd);
  if (c < width) {  // without the zeros that fill a partial vector
    float rest[kLanes];
    store(rest, load_part(x + c, width - c) - middle);
    for (int64_t i = 0; i < width - c; ++i) total += rest[i] * rest[i];
  }
  return total;
}

template <class T>
GLMOCR_INLINE float mean_of(const T* x, int64_t width) {
  F even = zero(), odd = zero();
  int64_t c = 0;
  for (; c + 2 * kLanes <= width; c += 2 * kLanes) {
    even = even + load(x + c);
    odd = odd + load(x + c + kLanes);
  }
  for (; c < width; c += kLanes) even = even + load_some(x + c, width - c);
  return sum(even + odd) / width;
}

// Calls row(x, residual or null, out) for every row.
template <class T, class Row>
GLMOCR_INLINE void for_rows(const NormTask& task, Row row) {
  for (int64_t r = 0; r < task.rows; ++r) {
    row(static_cast<const T*>(task.x.data) + r * task.x.stride,
        task.residual.data ? static_cast<const T*>(task.residual.data) + r * task.residual.stride : nullptr,
        static_cast<T*>(task.out.data) + r * task.out.stride);
  }
}

}  // namespace

void rms_norm(const NormTask& task) {
  with_compute_type(task.x.type, [&](auto tag) {
    using T = decltype(tag);
    for_rows<T>(task, [&](const T* x, const T* residual, T* out) {
      const float mean = sum_squares(x, task.width, 0) / task.width;
      const F scale = set(1 / __builtin_sqrtf(mean + task.eps));
      for (int64_t c = 0; c < task.width; c += kLanes) {
        const int64_t n = task.width - c;
        F value = load_some(task.weight + c, n) * rounded<T>(load_some(x + c, n) * scale);
        if (residual) value = rounded<T>(value) + load_some(residual + c, n);
        store_some(out + c, value, n);
      }
    });
  });
}

void layer_norm(const NormTask& task) {
  with_compute_type(task.x.type, [&](auto tag) {
    using T = decltype(tag);
    for_rows<T>(task, [&](const T* x, const T* residual, T* out) {
      const float mean = mean_of(x, task.width);
      const float variance = sum_squares(x, task.width, mean) / task.width;
      const F centre = set(mean), scale = set(1 / __builtin_sqrtf(variance + task.eps));
      for (int64_t c = 0; c < task.width; c += kLanes) {
        const int64_t n = task.width - c;
        const F normal = (load_some(x + c, n) - centre) * scale;
        F value = fma(normal, load_some(task.weight + c, n), load_some(task.bias + c, n));
        if (residual) value = rounded<T>(value) + load_some(residual + c, n);
        store_some(out + c, value, n);
      }
    });
  });
}

}  // namespace glmocr::cpu::GLMOCR_ISA
