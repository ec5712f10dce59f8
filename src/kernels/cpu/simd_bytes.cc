// SPDX-License-Identifier: Apache-2.0
#include "kernels/cpu/simd.h"
#include "kernels/cpu/simd_kernels.h"
#include "kernels/cpu/simd_pairs.h"

// Products in eight bits. A panel is read from its beginning to its end, for up to kRows rows of x at once: from memory
// where rows are few, else from the second-level cache.
namespace glmocr::cpu::GLMOCR_ISA {
namespace {

constexpr int64_t kColumns = 2 * kLanes;
constexpr int64_t kByteSize = kByteWord / kByteDepth;  // of a value of x

int64_t steps_of(int64_t k) { return (k + kByteDepth - 1) / kByteDepth; }

#ifdef __AMX_INT8__
// Tiles of weights, [steps][2 halves of columns][16][16][4], and of rows, [steps][rows][64].
constexpr int64_t kTile = 16 * 16;
constexpr int64_t kFourApart = kLanes * 4;  // four values of k of a column to the next four
int64_t place_in_step(int64_t column, int64_t i) {
  return column / 16 * 4 * kTile + i / 4 * 64 + column % 16 * 4 + i % 4;
}

// The sums of up to kByteRows rows with a panel; on the way so many bytes ahead are fetched, the panels that follow.
void multiply_tiles(const BytesTask& task, const int8_t* weights, int32_t* sums) {
  constexpr int64_t kAhead = 16 << 10, kStep = 8 * kTile;
  const auto* rows = static_cast<const char*>(task.group);
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  finish_stores();
  for (int64_t step = 0; step < steps_of(task.k); ++step) {
    for (int64_t line = 0; line < kStep; line += 64) __builtin_prefetch(weights + kAhead + line, 0, 2);
    _tile_loadd(6, weights, 64);
    _tile_loadd(7, weights + 4 * kTile, 64);
    _tile_loadd(4, rows, 64);
    _tile_dpbssd(0, 4, 6);
    _tile_dpbssd(1, 4, 7);
    if (task.m > 16) {
      _tile_loadd(5, rows + 16 * 64, 64);
      _tile_dpbssd(2, 5, 6);
      _tile_dpbssd(3, 5, 7);
    }
    weights += kStep;
    rows += task.stride * kByteWord;
  }
  _tile_stored(0, sums, 64);
  _tile_stored(1, sums + kTile, 64);
  if (task.m > 16) {
    _tile_stored(2, sums + 2 * kTile, 64);
    _tile_stored(3, sums + 3 * kTile, 64);
  }
  finish_stores();
}

void multiply_panels(const BytesTask& task) {
  const TilesInUse tiles(task.m < 16 ? task.m : 16, task.m > 16 ? task.m - 16 : 1);
  static_cast<void>(tiles);
  alignas(64) int32_t sums[4 * kTile];
  const auto* panel = static_cast<const char*>(task.panels);
  for (int64_t n = 0; n < task.n; n += kColumns, panel += bytes_panel(task.k, kColumns, kByteDepth)) {
    multiply_tiles(task, reinterpret_cast<const int8_t*>(panel), sums);
    const int64_t some = task.n - n;
    const F first = load_some(task.scales + n, some),
            second = some > kLanes ? load_some(task.scales + n + kLanes, some - kLanes) : zero();
    for (int64_t r = 0; r < task.m; ++r) {
      const F scale = set(task.x_scales[r]);
      const int32_t* row = sums + r / 16 * 2 * kTile + r % 16 * 16;
      float* c = task.c + r * task.c_stride + n;
      store(c, to_floats(load_ints(row)) * (scale * first));
      store(c + kLanes, to_floats(load_ints(row + kTile)) * (scale * second));
    }
  }
}
#else
constexpr int64_t kFourApart = kColumns * 4;
int64_t place_in_step(int64_t column, int64_t i) { return column * kByteDepth + i; }

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

void multiply_panels(const BytesTask& task) { multiply_panels<kRows>(task); }
#endif

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
    store_word_values(to + i * kByteSize, round_even(v * inverse));
  }
  return whole ? most / 127 : __builtin_nanf("");
}

// kLanes rows of kSquare values, four of which are a lane, become columns of as many steps.
constexpr int64_t kSquare = 4 * kLanes;
GLMOCR_INLINE void pack_square(const int8_t* rows, int64_t stride, int8_t* to) {
  F words[kLanes];
  for (int r = 0; r < kLanes; ++r) __builtin_memcpy(&words[r], rows + r * stride, sizeof(F));
  transpose(words);
  for (int i = 0; i < kLanes; ++i) {
    if constexpr (kByteDepth > 2) {
      __builtin_memcpy(to + i * kFourApart, &words[i], sizeof(F));
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

#ifdef __AMX_INT8__
void store_begin(int8_t* panel, int64_t steps) {
  __builtin_memset(panel + steps * kByteDepth * kColumns, 0, kColumns * sizeof(int32_t));
}
#else
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
#endif

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
        to[step * kByteDepth * kColumns + place_in_step(column, i % kByteDepth)] =
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
    auto* to = static_cast<char*>(group) + row * kByteWord;
    for (int64_t step = 0; step < steps_of(k); ++step) {
      __builtin_memcpy(to + step * stride * kByteWord, values + step * kByteWord, kByteWord);
    }
  }
}

void bytes(const BytesTask& task) { multiply_panels(task); }

}  // namespace glmocr::cpu::GLMOCR_ISA
