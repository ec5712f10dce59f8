// SPDX-License-Identifier: Apache-2.0
#include "kernels/cpu/simd_gemm.h"
#include "kernels/cpu/simd_kernels.h"

// softmax(q·kᵀ)·v over blocks of keys with a running maximum and sum (Milakov and Gimelshein 2018; Dao et al.
// 2022). Many query rows go through the GEMM micro-kernel with the block's keys and values packed once; few
// rows (a decode step) read keys and values as they lie.
namespace glmocr::cpu::GLMOCR_ISA {
namespace {

constexpr int64_t kFewRows = 8;

template <class T>
GLMOCR_INLINE const T* key_at(const void* const* rows, int64_t i) {
  return static_cast<const T*>(rows[i]);
}

// scores [rows, kMaxKeys]; whole panels are written, so up to kColumns − 1 values beyond the count.
template <class T>
void scores_by_panels(const AttentionTile& tile, const AttentionKeys& keys, float* scores, float* panel) {
  for (int64_t k = 0; k < keys.count; k += kColumns) {
    pack_panel<T>([&](int64_t i) { return key_at<T>(keys.keys, k + i); }, keys.count - k, tile.dim, panel);
    multiply_panel(tile.rows, tile.dim, tile.q, attention_pitch(tile.dim), panel, scores + k, kMaxKeys,
                   false);
  }
}

template <class T>
void add_values_by_panels(const AttentionTile& tile, const AttentionKeys& keys, const float* scores,
                          float* panel) {
  for (int64_t d = 0; d < tile.dim; d += kColumns) {
    const int64_t first = tile.dim - d, second = first - kLanes;
    for (int64_t i = 0; i < keys.count; ++i) {
      const T* value = key_at<T>(keys.values, i) + d;
      store(panel + i * kColumns, load_some(value, first));
      store(panel + i * kColumns + kLanes, second > 0 ? load_some(value + kLanes, second) : zero());
    }
    const int64_t pitch = attention_pitch(tile.dim);
    multiply_panel(tile.rows, keys.count, scores, kMaxKeys, panel, tile.acc + d, pitch, true);
  }
}

template <class T, int R>
GLMOCR_INLINE void score_rows(const AttentionTile& tile, const AttentionKeys& keys, int64_t row,
                              float* scores) {
  const int64_t pitch = attention_pitch(tile.dim);
  const float* q = tile.q + row * pitch;
  constexpr int N = 4;
  for (int64_t i = 0; i < keys.count; i += N) {
    const T* key[N];
    F sums[R][N];
    for (int n = 0; n < N; ++n) {
      key[n] = key_at<T>(keys.keys, i + n < keys.count ? i + n : keys.count - 1);
      for (int r = 0; r < R; ++r) sums[r][n] = zero();
    }
    for (int64_t d = 0; d < tile.dim; d += kLanes) {
      F part[N];
      for (int n = 0; n < N; ++n) part[n] = load_some(key[n] + d, tile.dim - d);
      for (int r = 0; r < R; ++r) {
        const F value = load(q + r * pitch + d);
        for (int n = 0; n < N; ++n) sums[r][n] = fma(value, part[n], sums[r][n]);
      }
    }
    for (int r = 0; r < R; ++r) {
      for (int n = 0; n < N; ++n) scores[(row + r) * kMaxKeys + i + n] = sum(sums[r][n]);
    }
  }
}

template <class T, int R, int N>
GLMOCR_INLINE void add_values_at(const AttentionTile& tile, const AttentionKeys& keys, int64_t row, int64_t d,
                                 const float* scores) {
  const int64_t pitch = attention_pitch(tile.dim);
  float* acc = tile.acc + row * pitch + d;
  F sums[R][N];
  for (int r = 0; r < R; ++r) {
    for (int n = 0; n < N; ++n) sums[r][n] = load(acc + r * pitch + n * kLanes);
  }
  for (int64_t i = 0; i < keys.count; ++i) {
    const T* value = key_at<T>(keys.values, i) + d;
    F part[N];
    for (int n = 0; n < N; ++n) part[n] = load_some(value + n * kLanes, tile.dim - d - n * kLanes);
    for (int r = 0; r < R; ++r) {
      const F weight = set(scores[(row + r) * kMaxKeys + i]);
      for (int n = 0; n < N; ++n) sums[r][n] = fma(weight, part[n], sums[r][n]);
    }
  }
  for (int r = 0; r < R; ++r) {
    for (int n = 0; n < N; ++n) store(acc + r * pitch + n * kLanes, sums[r][n]);
  }
}

template <class T, int R>
GLMOCR_INLINE void add_values_rows(const AttentionTile& tile, const AttentionKeys& keys, int64_t row,
                                   const float* scores) {
  int64_t d = 0;
  for (; d + 4 * kLanes <= tile.dim; d += 4 * kLanes) add_values_at<T, R, 4>(tile, keys, row, d, scores);
  for (; d < tile.dim; d += kLanes) add_values_at<T, R, 1>(tile, keys, row, d, scores);
}

GLMOCR_INLINE float exp_of(float x) {
  float values[kLanes];
  store(values, exp(set(x)));
  return values[0];
}

GLMOCR_INLINE void scale_row(float* row, int64_t width, float factor) {
  const F scale = set(factor);
  for (int64_t d = 0; d < width; d += kLanes) store(row + d, load(row + d) * scale);
}

// Turns one row of scores into weights and takes them into its running maximum and sum.
GLMOCR_INLINE void softmax_row(const AttentionTile& tile, int64_t row, float* scores, int64_t visible,
                               int64_t count) {
  const int64_t whole = round_up(visible, kLanes);
  for (int64_t i = visible; i < whole; ++i) scores[i] = -__builtin_inff();
  F best = load(scores);
  for (int64_t i = kLanes; i < whole; i += kLanes) best = max(best, load(scores + i));
  const float before = tile.largest[row], top = largest_of(best), largest = top > before ? top : before;
  const F centre = set(largest);
  F total = zero();
  for (int64_t i = 0; i < whole; i += kLanes) {
    const F weight = exp_falling(load(scores + i) - centre);
    total = total + weight;
    store(scores + i, weight);
  }
  for (int64_t i = whole; i < count; ++i) scores[i] = 0;
  if (largest > before) {
    const float factor = exp_of(before - largest);
    scale_row(tile.acc + row * attention_pitch(tile.dim), attention_pitch(tile.dim), factor);
    tile.sum[row] *= factor;
    tile.largest[row] = largest;
  }
  tile.sum[row] += sum(total);
}

void softmax(const AttentionTile& tile, const AttentionKeys& keys, float* scores) {
  for (int64_t r = 0; r < tile.rows; ++r) {
    const int64_t limit = keys.visible ? keys.visible[r] : keys.count;
    const int64_t visible = limit < keys.count ? limit : keys.count;
    float* row = scores + r * kMaxKeys;
    if (visible > 0) {
      softmax_row(tile, r, row, visible, keys.count);
    } else {
      for (int64_t i = 0; i < keys.count; ++i) row[i] = 0;
    }
  }
}

template <class T>
void block_of_few_rows(const AttentionTile& tile, const AttentionKeys& keys) {
  float* scores = tile.work;
  int64_t r = 0;
  for (; r + 2 <= tile.rows; r += 2) score_rows<T, 2>(tile, keys, r, scores);
  if (r < tile.rows) score_rows<T, 1>(tile, keys, r, scores);
  softmax(tile, keys, scores);
  for (r = 0; r + 2 <= tile.rows; r += 2) add_values_rows<T, 2>(tile, keys, r, scores);
  if (r < tile.rows) add_values_rows<T, 1>(tile, keys, r, scores);
}

template <class T>
void block_of_many_rows(const AttentionTile& tile, const AttentionKeys& keys) {
  float* scores = tile.work;
  float* panel = tile.work + tile.rows * kMaxKeys;
  scores_by_panels<T>(tile, keys, scores, panel);
  softmax(tile, keys, scores);
  add_values_by_panels<T>(tile, keys, scores, panel);
}

}  // namespace

int64_t attention_pitch(int64_t dim) { return round_up(dim, kColumns); }

int64_t attention_work(int64_t rows, int64_t dim) {
  return rows * kMaxKeys + (dim > kMaxKeys ? dim : kMaxKeys) * kColumns;
}

void attention_begin(const AttentionTile& tile, const void* const* rows, float scale) {
  const int64_t pitch = attention_pitch(tile.dim);
  with_compute_type(tile.type, [&](auto tag) {
    using T = decltype(tag);
    for (int64_t r = 0; r < tile.rows; ++r) {
      const T* from = static_cast<const T*>(rows[r]);
      for (int64_t d = 0; d < pitch; d += kLanes) {
        const int64_t n = tile.dim - d;
        store(tile.q + r * pitch + d, n > 0 ? load_some(from + d, n) * set(scale) : zero());
        store(tile.acc + r * pitch + d, zero());
      }
      tile.largest[r] = -__builtin_inff();
      tile.sum[r] = 0;
    }
  });
}

void attention_block(const AttentionTile& tile, const AttentionKeys& keys) {
  with_compute_type(tile.type, [&](auto tag) {
    using T = decltype(tag);
    if (tile.rows <= kFewRows) {
      block_of_few_rows<T>(tile, keys);
    } else {
      block_of_many_rows<T>(tile, keys);
    }
  });
}

void attention_merge(const AttentionTile& tile, const AttentionTile& other) {
  const int64_t pitch = attention_pitch(tile.dim);
  for (int64_t r = 0; r < tile.rows; ++r) {
    if (other.sum[r] == 0) continue;
    const float largest = tile.largest[r] > other.largest[r] ? tile.largest[r] : other.largest[r];
    const float mine = exp_of(tile.largest[r] - largest), theirs = exp_of(other.largest[r] - largest);
    float* acc = tile.acc + r * pitch;
    const float* more = other.acc + r * pitch;
    for (int64_t d = 0; d < pitch; d += kLanes) {
      store(acc + d, load(acc + d) * set(mine) + load(more + d) * set(theirs));
    }
    tile.sum[r] = tile.sum[r] * mine + other.sum[r] * theirs;
    tile.largest[r] = largest;
  }
}

void attention_end(const AttentionTile& tile, void* const* rows) {
  const int64_t pitch = attention_pitch(tile.dim);
  with_compute_type(tile.type, [&](auto tag) {
    using T = decltype(tag);
    for (int64_t r = 0; r < tile.rows; ++r) {
      T* to = static_cast<T*>(rows[r]);
      const F total = set(tile.sum[r]);
      for (int64_t d = 0; d < tile.dim; d += kLanes) {
        store_some(to + d, load(tile.acc + r * pitch + d) / total, tile.dim - d);
      }
    }
  });
}

}  // namespace glmocr::cpu::GLMOCR_ISA
