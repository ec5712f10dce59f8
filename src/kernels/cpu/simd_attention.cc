// SPDX-License-Identifier: Apache-2.0
#include "kernels/cpu/simd_gemm.h"
#include "kernels/cpu/simd_kernels.h"

// softmax(q·kᵀ)·v over blocks of keys with a running maximum and sum (Milakov and Gimelshein 2018; Dao et al.
// 2022). Many query rows go through the micro-kernel of the GEMM, with the block's keys and values packed
// once; few rows (a decode step) read keys and values as they lie. Scores are taken in base 2 and relative to a
// whole number, so that a new maximum changes exponents alone.
namespace glmocr::cpu::GLMOCR_ISA {
namespace {

constexpr int64_t kVectors = 16;  // arrays begin at multiples of so many floats

int64_t pitch_of(int64_t dim) { return round_up(dim, kColumns); }

template <int N>
struct Count {
  static constexpr int value = N;
};

// The state of a tile. A row of q and acc has `pitch` floats.
struct State {
  int64_t rows, dim, pitch;
  float* q;        // [rows, pitch], scaled, in base 2
  float* acc;      // [rows, pitch], Σ 2^(score − largest) · value
  float* largest;  // [rows], the next whole number from the largest score on
  float* sum;      // [rows], Σ 2^(score − largest)

  explicit State(const AttentionTile& tile)
      : rows(tile.rows),
        dim(tile.dim),
        pitch(pitch_of(tile.dim)),
        q(static_cast<float*>(tile.state)),
        acc(q + round_up(rows * pitch, kVectors)),
        largest(acc + round_up(rows * pitch, kVectors)),
        sum(largest + round_up(rows, kVectors)) {}
};

// The keys of a block one by one: runs may be as short as a key.
template <class T>
struct KeyList {
  const T* keys[kMaxKeys];
  const T* values[kMaxKeys];
  int64_t count;
  const int32_t* visible;

  explicit KeyList(const AttentionKeys& from) : count(from.count), visible(from.visible) {
    const KeyRun* run = from.runs;
    for (int64_t first = 0; first < count; first += run++->count) {
      for (int64_t i = 0; i < run->count; ++i) {
        keys[first + i] = static_cast<const T*>(run->keys) + i * run->key_stride;
        values[first + i] = static_cast<const T*>(run->values) + i * run->value_stride;
      }
    }
  }

  // How many keys of the block count for a row.
  int64_t visible_to(int64_t row) const {
    if (!visible || visible[row] > count) return count;
    return visible[row] > 0 ? visible[row] : 0;
  }
};

// scores [rows, kMaxKeys]; whole panels are written, so up to kColumns − 1 values beyond the count.
template <class T>
__attribute__((noinline)) void scores_by_panels(const State& state, const KeyList<T>& keys, float* scores,
                                                float* panel) {
  for (int64_t k = 0; k < keys.count; k += kColumns) {
    pack_panel<T>([&](int64_t i) { return keys.keys[k + i]; }, keys.count - k, state.dim, panel);
    multiply_panel(state.rows, state.dim, state.q, state.pitch, panel, scores + k, kMaxKeys, false);
  }
}

// Scores of rows row … row + R − 1.
template <class T, int R>
GLMOCR_INLINE void score_rows(const State& state, const KeyList<T>& keys, int64_t row, float* scores) {
  const float* q = state.q + row * state.pitch;
  constexpr int N = 4;
  for (int64_t i = 0; i < keys.count; i += N) {
    const T* key[N];
    F sums[R][N];
    for (int n = 0; n < N; ++n) {
      key[n] = keys.keys[i + n < keys.count ? i + n : keys.count - 1];
      for (int r = 0; r < R; ++r) sums[r][n] = zero();
    }
    for (int64_t d = 0; d < state.dim; d += kLanes) {
      F part[N];
      for (int n = 0; n < N; ++n) part[n] = load_some(key[n] + d, state.dim - d);
      for (int r = 0; r < R; ++r) {
        const F value = load(q + r * state.pitch + d);
        for (int n = 0; n < N; ++n) sums[r][n] = fma(value, part[n], sums[r][n]);
      }
    }
    for (int r = 0; r < R; ++r) {
      for (int n = 0; n < N; ++n) scores[(row + r) * kMaxKeys + i + n] = sum(sums[r][n]);
    }
  }
}

template <class T, int R, int N>
GLMOCR_INLINE void add_values_at(const State& state, const KeyList<T>& keys, int64_t row, int64_t d,
                                 int64_t begin, int64_t end, const float* scores) {
  float* acc = state.acc + row * state.pitch + d;
  F sums[R][N];
  for (int r = 0; r < R; ++r) {
    for (int n = 0; n < N; ++n) sums[r][n] = load(acc + r * state.pitch + n * kLanes);
  }
  for (int64_t i = begin; i < end; ++i) {
    const T* value = keys.values[i] + d;
    F part[N];
    for (int n = 0; n < N; ++n) part[n] = load_some(value + n * kLanes, state.dim - d - n * kLanes);
    for (int r = 0; r < R; ++r) {
      const F weight = set(scores[(row + r) * kMaxKeys + i]);
      for (int n = 0; n < N; ++n) sums[r][n] = fma(weight, part[n], sums[r][n]);
    }
  }
  for (int r = 0; r < R; ++r) {
    for (int n = 0; n < N; ++n) store(acc + r * state.pitch + n * kLanes, sums[r][n]);
  }
}

// Adds the values of keys begin … end − 1 to R rows.
template <class T, int R>
GLMOCR_INLINE void add_values_of(const State& state, const KeyList<T>& keys, int64_t row, int64_t begin,
                                 int64_t end, const float* scores) {
  if (begin >= end) return;
  int64_t d = 0;
  for (; d + 4 * kLanes <= state.dim; d += 4 * kLanes)
    add_values_at<T, R, 4>(state, keys, row, d, begin, end, scores);
  for (; d < state.dim; d += kLanes) add_values_at<T, R, 1>(state, keys, row, d, begin, end, scores);
}

// Adds the values that each of R rows sees: the keys that all see together, the others row by row. What a row
// does not see is not touched, so that a NaN there stays there.
template <class T, int R>
GLMOCR_INLINE void add_values_rows(const State& state, const KeyList<T>& keys, int64_t row,
                                   const float* scores) {
  int64_t common = keys.visible_to(row);
  for (int r = 1; r < R; ++r) {
    const int64_t own = keys.visible_to(row + r);
    common = own < common ? own : common;
  }
  add_values_of<T, R>(state, keys, row, 0, common, scores);
  for (int r = 0; R > 1 && r < R; ++r) {
    add_values_of<T, 1>(state, keys, row + r, common, keys.visible_to(row + r), scores);
  }
}

// The same through the micro-kernel, kRows rows at a time; it adds the keys in the same order.
template <class T>
void add_values_by_panels(const State& state, const KeyList<T>& keys, const float* scores, float* panel) {
  const auto common_of = [&](int64_t row) {
    int64_t common = keys.count;
    for (int64_t r = row; r < row + kRows && r < state.rows && keys.visible; ++r) {
      const int64_t own = keys.visible_to(r);
      common = own < common ? own : common;
    }
    return common;
  };
  for (int64_t d = 0; d < state.dim; d += kColumns) {
    const int64_t first = state.dim - d, second = first - kLanes;
    for (int64_t i = 0; i < keys.count; ++i) {
      const T* value = keys.values[i] + d;
      store(panel + i * kColumns, load_some(value, first));
      store(panel + i * kColumns + kLanes, second > 0 ? load_some(value + kLanes, second) : zero());
    }
    if (!keys.visible) {
      multiply_panel(state.rows, keys.count, scores, kMaxKeys, panel, state.acc + d, state.pitch, true);
      continue;
    }
    for (int64_t row = 0; row < state.rows; row += kRows) {
      const int64_t rows = state.rows - row < kRows ? state.rows - row : kRows;
      multiply_panel(rows, common_of(row), scores + row * kMaxKeys, kMaxKeys, panel,
                     state.acc + row * state.pitch + d, state.pitch, true);
    }
  }
  for (int64_t row = 0; keys.visible && row < state.rows; row += kRows) {
    const int64_t common = common_of(row);
    for (int64_t r = row; r < row + kRows && r < state.rows; ++r) {
      add_values_of<T, 1>(state, keys, r, common, keys.visible_to(r), scores);
    }
  }
}

GLMOCR_INLINE float exp2_of(float x) {
  float values[kLanes];
  store(values, exp2_falling(set(x)));
  return values[0];
}

GLMOCR_INLINE void scale_row(float* row, int64_t width, float factor) {
  const F scale = set(factor);
  for (int64_t d = 0; d < width; d += kLanes) store(row + d, load(row + d) * scale);
}

// Turns the visible scores of a row into weights, rounded to W, and takes them into its running maximum and
// sum.
template <class W>
GLMOCR_INLINE void softmax_row(const State& state, int64_t row, float* scores, int64_t visible) {
  const int64_t whole = round_up(visible, kLanes);
  for (int64_t i = visible; i < whole; ++i) scores[i] = -__builtin_inff();
  F best = load(scores);
  for (int64_t i = kLanes; i < whole; i += kLanes) best = max(best, load(scores + i));
  const float before = state.largest[row], top = __builtin_ceilf(largest_of(best));
  const float largest = top > before ? top : before;
  const F centre = set(largest);
  F total = zero();
  for (int64_t i = 0; i < whole; i += kLanes) {
    const F weight = rounded<W>(exp2_falling(load(scores + i) - centre));
    total = total + weight;
    store(scores + i, weight);
  }
  if (largest > before) {
    const float factor = exp2_of(before - largest);
    scale_row(state.acc + row * state.pitch, state.pitch, factor);
    state.sum[row] *= factor;
    state.largest[row] = largest;
  }
  state.sum[row] += sum(total);
}

template <class W, class T>
void softmax(const State& state, const KeyList<T>& keys, float* scores) {
  for (int64_t r = 0; r < state.rows; ++r) {
    if (const int64_t visible = keys.visible_to(r); visible > 0) {
      softmax_row<W>(state, r, scores + r * kMaxKeys, visible);
    }
  }
}

// Calls run(row, R) for all rows, R at a time and the last ones in halves of it; R is a compile-time number.
template <int R, class Run>
GLMOCR_INLINE void for_rows(int64_t row, int64_t rows, Run run) {
  for (; row + R <= rows; row += R) run(row, Count<R>{});
  if constexpr (R > 1) for_rows<R / 2>(row, rows, run);
}

template <class T>
void block_of_few_rows(const State& state, const KeyList<T>& keys, float* scores) {
  constexpr int kBlock = kLanes == 16 ? 4 : 2;  // rows whose sums fit the registers
  for_rows<kBlock>(0, state.rows, [&](int64_t row, auto count) {
    score_rows<T, decltype(count)::value>(state, keys, row, scores);
  });
  softmax<float>(state, keys, scores);
  for_rows<kBlock>(0, state.rows, [&](int64_t row, auto count) {
    add_values_rows<T, decltype(count)::value>(state, keys, row, scores);
  });
}

template <class W, class T>
void block_of_many_rows(const State& state, const KeyList<T>& keys, float* scores) {
  float* panel = scores + state.rows * kMaxKeys;
  scores_by_panels(state, keys, scores, panel);
  softmax<W>(state, keys, scores);
  add_values_by_panels(state, keys, scores, panel);
}

}  // namespace

int64_t attention_state_bytes(int64_t rows, int64_t dim) {
  const int64_t floats = 2 * round_up(rows * pitch_of(dim), kVectors) + 2 * round_up(rows, kVectors);
  return floats * static_cast<int64_t>(sizeof(float));
}

int64_t attention_work_bytes(int64_t rows, int64_t dim) {
  const int64_t floats = rows * kMaxKeys + (dim > kMaxKeys ? dim : kMaxKeys) * kColumns;
  return floats * static_cast<int64_t>(sizeof(float));
}

void attention_begin(const AttentionTile& tile, const void* const* rows, float scale) {
  const State state(tile);
  const F factor = set(scale * 1.44269504f);
  with_compute_type(tile.type, [&](auto tag) {
    using T = decltype(tag);
    for (int64_t r = 0; r < state.rows; ++r) {
      const T* from = static_cast<const T*>(rows[r]);
      for (int64_t d = 0; d < state.pitch; d += kLanes) {
        const int64_t n = state.dim - d;
        store(state.q + r * state.pitch + d, n > 0 ? load_some(from + d, n) * factor : zero());
        store(state.acc + r * state.pitch + d, zero());
      }
      state.largest[r] = -__builtin_inff();
      state.sum[r] = 0;
    }
  });
}

void attention_few(const AttentionTile& tile, const AttentionKeys& keys) {
  with_compute_type(tile.type, [&](auto tag) {
    block_of_few_rows(State(tile), KeyList<decltype(tag)>(keys), static_cast<float*>(tile.work));
  });
}

void attention_many(const AttentionTile& tile, const AttentionKeys& keys) {
  auto* scores = static_cast<float*>(tile.work);
  with_compute_type(tile.type, [&](auto tag) {
    const KeyList<decltype(tag)> list(keys);
    if (tile.rounds_weights) return block_of_many_rows<Bf16>(State(tile), list, scores);
    block_of_many_rows<float>(State(tile), list, scores);
  });
}

void attention_merge(const AttentionTile& tile, const AttentionTile& other) {
  const State state(tile), more(other);
  for (int64_t r = 0; r < state.rows; ++r) {
    if (more.sum[r] == 0) continue;  // the row saw no key there
    const float largest = state.largest[r] > more.largest[r] ? state.largest[r] : more.largest[r];
    const float mine = exp2_of(state.largest[r] - largest), theirs = exp2_of(more.largest[r] - largest);
    float* acc = state.acc + r * state.pitch;
    const float* added = more.acc + r * state.pitch;
    for (int64_t d = 0; d < state.pitch; d += kLanes) {
      store(acc + d, load(acc + d) * set(mine) + load(added + d) * set(theirs));
    }
    state.sum[r] = state.sum[r] * mine + more.sum[r] * theirs;
    state.largest[r] = largest;
  }
}

void attention_end(const AttentionTile& tile, void* const* rows) {
  const State state(tile);
  with_compute_type(tile.type, [&](auto tag) {
    using T = decltype(tag);
    for (int64_t r = 0; r < state.rows; ++r) {
      T* to = static_cast<T*>(rows[r]);
      const F total = set(state.sum[r]);
      for (int64_t d = 0; d < state.dim; d += kLanes) {
        store_some(to + d, load(state.acc + r * state.pitch + d) / total, state.dim - d);
      }
    }
  });
}

}  // namespace glmocr::cpu::GLMOCR_ISA
