// SPDX-License-Identifier: Apache-2.0
#include "kernels/cpu/simd.h"
#include "kernels/cpu/simd_kernels.h"

// Products in eight bits. A panel is read from its beginning to its end, for up to kRows rows of x at once: from memory
// where rows are few, else from the second-level cache.
namespace glmocr::cpu::GLMOCR_ISA {
namespace {

constexpr int64_t kColumns = 2 * kLanes;

int64_t steps_of(int64_t k) { return (k + kByteDepth - 1) / kByteDepth; }

int32_t load_word(const char* p) {
  int32_t word;
  __builtin_memcpy(&word, p, sizeof word);
  return word;
}

// The sums of M rows with a panel.
template <int M>
GLMOCR_INLINE void multiply(const BytesTask& task, const char* panel, int64_t n) {
  const auto* weights = reinterpret_cast<const int8_t*>(panel);
  const auto* words = static_cast<const char*>(task.group);
  const int64_t steps = steps_of(task.k), next = task.stride * 4;
  const auto* begin = reinterpret_cast<const int32_t*>(panel + steps * kByteDepth * kColumns);
  I sums[M][2];
  for (int r = 0; r < M; ++r) {
    sums[r][0] = load_ints(begin);
    sums[r][1] = load_ints(begin + kLanes);
  }
  for (int64_t step = 0; step < steps; ++step) {
    for (int r = 0; r < M; ++r) {
      const int32_t word = load_word(words + r * 4);
      sums[r][0] = add_byte_products(sums[r][0], word, weights);
      sums[r][1] = add_byte_products(sums[r][1], word, weights + kLanes * kByteDepth);
    }
    words += next;
    weights += kColumns * kByteDepth;
  }
  // Every index into the sums is a constant, so that they stay in registers.
  const F first = load_some(task.scales, n),
          second = n > kLanes ? load_some(task.scales + kLanes, n - kLanes) : zero();
  for (int r = 0; r < M; ++r) {
    const F scale = set(task.x_scales[r]);
    float* c = task.c + r * task.c_stride;
    store(c, to_floats(sums[r][0]) * (scale * first));
    store(c + kLanes, to_floats(sums[r][1]) * (scale * second));
  }
}

template <int M>
void multiply_panels(const BytesTask& task) {
  if constexpr (M > 0) {
    if (task.m < M) return multiply_panels<M - 1>(task);
    BytesTask part = task;
    const auto* panel = static_cast<const char*>(task.panels);
    for (int64_t n = 0; n < task.n; n += kColumns) {
      multiply<M>(part, panel, task.n - n);
      panel += bytes_panel(task.k, kColumns, kByteDepth);
      part.scales += kColumns;
      part.c += kColumns;
    }
  }
}

// Of a row: quantize_row in tensor/int8.h. `to` has room for whole vectors.
template <class T>
float quantize(const T* row, int64_t k, char* to) {
  F largest = zero(), finite = zero();
  for (int64_t i = 0; i < k; i += kLanes) {
    const F v = load_some(row + i, k - i);
    largest = max(largest, magnitude(v));
    finite = finite + v * zero();  // NaN once a value is not finite
  }
  const float most = largest_of(largest);
  const bool whole = sum(finite) == 0;
  const F inverse = set(whole && most >= 0x1p-100f ? 127 / most : 0);
  for (int64_t i = 0; i < k; i += kLanes) {
    const F v = whole ? load_some(row + i, k - i) : zero();
    store_word_values(to + i * 4 / kByteDepth, round_even(v * inverse));
  }
  return whole ? most / 127 : __builtin_nanf("");
}

// kLanes rows of kSquare values, four of which are a lane, become columns of as many steps, kColumns apart.
constexpr int64_t kSquare = 4 * kLanes;
GLMOCR_INLINE void pack_square(const int8_t* rows, int64_t stride, int8_t* to) {
  F words[kLanes];
  for (int r = 0; r < kLanes; ++r) __builtin_memcpy(&words[r], rows + r * stride, sizeof(F));
  transpose(words);
  for (int i = 0; i < kLanes; ++i) {
    if constexpr (kByteDepth == 4) {
      __builtin_memcpy(to + i * kColumns * 4, &words[i], sizeof(F));
    } else {
      int32_t four[kLanes];
      int16_t first[kLanes], second[kLanes];
      __builtin_memcpy(four, &words[i], sizeof four);
      for (int lane = 0; lane < kLanes; ++lane) {
        first[lane] = static_cast<int16_t>(four[lane]);
        second[lane] = static_cast<int16_t>(four[lane] >> 16);
      }
      __builtin_memcpy(to + i * kColumns * 4, first, sizeof first);
      __builtin_memcpy(to + i * kColumns * 4 + kColumns * 2, second, sizeof second);
    }
  }
}

// What the sums of a panel begin with, behind its weights: what kByteOffset adds to the values of a word is taken off.
void store_begin(int8_t* panel, int64_t steps) {
  constexpr int32_t kOnes = kByteDepth == 4 ? 0x01010101 : 0x00010001;
  const int32_t zeros[kLanes] = {};
  I first = load_ints(zeros), second = first;
  for (int64_t step = 0; kByteOffset != 0 && step < steps; ++step) {
    first = add_byte_products(first, kOnes, panel + step * kByteDepth * kColumns);
    second = add_byte_products(second, kOnes, panel + step * kByteDepth * kColumns + kLanes * kByteDepth);
  }
  int32_t sums[kColumns];
  __builtin_memcpy(sums, &first, sizeof first);
  __builtin_memcpy(sums + kLanes, &second, sizeof second);
  for (int32_t& sum : sums) sum *= -kByteOffset;
  __builtin_memcpy(panel + steps * kByteDepth * kColumns, sums, sizeof sums);
}

}  // namespace

void pack_bytes(const int8_t* rows, int64_t stride, int64_t count, int64_t k, void* panel) {
  auto* to = static_cast<int8_t*>(panel);
  const int64_t steps = steps_of(k);
  const int64_t squares = count == kColumns ? k / kSquare : 0;  // whole ones
  for (int64_t i = 0; i < squares; ++i) {
    pack_square(rows + i * kSquare, stride, to + i * kSquare * kColumns);
    pack_square(rows + i * kSquare + kLanes * stride, stride,
                to + i * kSquare * kColumns + kLanes * kByteDepth);
  }
  for (int64_t step = squares * kSquare / kByteDepth; step < steps; ++step) {
    for (int64_t column = 0; column < kColumns; ++column) {
      for (int64_t i = step * kByteDepth; i < (step + 1) * kByteDepth; ++i) {
        to[step * kByteDepth * kColumns + column * kByteDepth + i % kByteDepth] =
            column < count && i < k ? rows[column * stride + i] : int8_t{0};
      }
    }
  }
  store_begin(to, steps);
}

void quantize_rows(const ConstRows& x, int64_t count, int64_t k, int64_t stride, void* group, float* scales,
                   void* work) {
  auto* values = static_cast<char*>(work);
  for (int64_t row = 0; row < count; ++row) {
    with_compute_type(x.type, [&](auto tag) {
      using T = decltype(tag);
      scales[row] = quantize(static_cast<const T*>(x.data) + row * x.stride, k, values);
    });
    auto* to = static_cast<char*>(group) + row * 4;
    for (int64_t step = 0; step < steps_of(k); ++step) {
      __builtin_memcpy(to + step * stride * 4, values + step * 4, 4);
    }
  }
}

void bytes(const BytesTask& task) { multiply_panels<kRows>(task); }

}  // namespace glmocr::cpu::GLMOCR_ISA
