// SPDX-License-Identifier: Apache-2.0
#include "kernels/cpu/simd_carver.h"
#include "kernels/cpu/simd_kernels.h"
#include "kernels/cpu/simd_pairs.h"
#include "kernels/cpu/simd_weights.h"

// Attention in AMX tiles, for heads of 64 and 128: as simd_segments.cc, with the same roundings and orders. Keys and values
// come packed, once for all rows of a head. Scores of the next rows and results of the ones before are multiplied between
// the exponentials of these rows: tiles and vectors work at the same time.
namespace glmocr::cpu::GLMOCR_ISA {

#ifdef __AMX_BF16__
namespace {

constexpr int64_t kBlockKeys = 128;
constexpr int64_t kTile = 16 * 16;        // sums of a tile
constexpr int64_t kTileValues = 16 * 32;  // values of bf16 of a tile

// The state of a task. Values of bf16 stand as tiles of rows, [rows / 32][parts of 32][2 halves][16][32], sums as tiles of
// results, [rows / 32][parts of 16][2 halves][16][16].
struct Memory {
  int64_t groups;  // of 32 rows
  Bf16* q;
  float* acc;
  float* sums;    // [rows, kLanes]
  float* centre;  // [rows]
  float* scores[2];
  Bf16* weights[2];
  int64_t bytes;

  Memory(void* from, int64_t rows, int64_t dim) : groups(round_up(rows, kPairRows) / kPairRows) {
    Carver carver{static_cast<char*>(from)};
    const int64_t all = groups * kPairRows;
    q = carver.take<Bf16>(all * dim);
    acc = carver.take<float>(all * dim);
    sums = carver.take<float>(all * kLanes);
    centre = carver.take<float>(all);
    for (int i = 0; i < 2; ++i) {
      scores[i] = carver.take<float>(kPairRows * kBlockKeys);
      weights[i] = carver.take<Bf16>(kPairRows * kBlockKeys);
    }
    bytes = carver.used;
  }
};

// A unit of products: two tiles of rows with two of columns. Tiles 0 to 3 hold sums, 4 rows, 5 and 6 columns.
GLMOCR_INLINE void multiply_upper(const Bf16* rows, const Bf16* columns) {
  _tile_loadd(5, columns, 64);
  _tile_loadd(6, columns + kTileValues, 64);
  _tile_loadd(4, rows, 64);
  _tile_dpbf16ps(0, 4, 5);
  _tile_dpbf16ps(1, 4, 6);
}
GLMOCR_INLINE void multiply_lower(const Bf16* rows) {
  _tile_loadd(4, rows + kTileValues, 64);
  _tile_dpbf16ps(2, 4, 5);
  _tile_dpbf16ps(3, 4, 6);
}
// Sums of two neighbouring parts of columns.
GLMOCR_INLINE void load_parts(const float* sums) {
  _tile_loadd(0, sums, 64);
  _tile_loadd(2, sums + kTile, 64);
  _tile_loadd(1, sums + 2 * kTile, 64);
  _tile_loadd(3, sums + 3 * kTile, 64);
}
GLMOCR_INLINE void store_parts(float* sums) {
  _tile_stored(0, sums, 64);
  _tile_stored(2, sums + kTile, 64);
  _tile_stored(1, sums + 2 * kTile, 64);
  _tile_stored(3, sums + 3 * kTile, 64);
}

// The products of one step, kDim / 8 units, in the order in which they run: sums of two parts of columns, `depth` units
// each.
struct Products {
  const Bf16 *rows, *columns;
  float* sums;
  int64_t depth;
  bool add;  // to the sums that stand there
  int64_t part = 0, at = 0;

  GLMOCR_INLINE void upper() {
    if (at == 0) {
      if (part > 0) keep();
      if (add) {
        load_parts(sums + part * 4 * kTile);
      } else {
        _tile_zero(0);
        _tile_zero(1);
        _tile_zero(2);
        _tile_zero(3);
      }
    }
    multiply_upper(rows + at * 2 * kTileValues, columns + (part * depth + at) * 2 * kTileValues);
  }
  GLMOCR_INLINE void lower() {
    multiply_lower(rows + at * 2 * kTileValues);
    if (++at == depth) {
      at = 0;
      ++part;
    }
  }
  // Stores the sums of the parts that were multiplied last.
  GLMOCR_INLINE void keep() { store_parts(sums + (part - 1) * 4 * kTile); }
};

// Rows of 32 against a block of keys: one step of a task.
struct Step {
  int64_t group = 0, block = 0;
};

template <int64_t kDim>
class TiledSegment {
 public:
  explicit TiledSegment(const SegmentTask& task)
      : task_(task),
        memory_(task.work, task.rows, kDim),
        factor_(__builtin_fabsf(task.scale) * 1.44269504f) {}

  void run() {
    load_queries();
    Step before, step, next;
    multiply(scores_of(step, 0));
    for (int64_t i = 0;; ++i) {
      next = step;
      const bool more = advance(next);
      // Sums of a row move with its centre, so those of the step before must be those of other rows.
      const bool together = i > 0 && before.group != step.group;
      if (i > 0 && !together) multiply(results_of(before, i - 1));
      if (more) {
        together ? weigh<true, true>(i, before, step, next) : weigh<true, false>(i, before, step, next);
      } else {
        together ? weigh<false, true>(i, before, step, next) : weigh<false, false>(i, before, step, next);
      }
      before = step;
      if (more) {
        step = next;
        continue;
      }
      multiply(results_of(before, i));
      break;
    }
    store_results();
  }

 private:
  static constexpr int64_t kBlockValues = kBlockKeys * kDim;
  static constexpr int64_t kUnits = kDim / 8;

  int64_t limit(int64_t row) const { return task_.limits ? task_.limits[row] : task_.keys; }

  // The next step with keys that some row sees. False: there is none.
  bool advance(Step& step) const {
    if (++step.group < memory_.groups) return true;
    ++step.block;
    const int64_t first = step.block * kBlockKeys;
    for (step.group = 0; step.group < memory_.groups; ++step.group) {
      const int64_t end = (step.group + 1) * kPairRows, last = (end < task_.rows ? end : task_.rows) - 1;
      if (first < limit(last)) return true;
    }
    return false;
  }

  const Bf16* keys(int64_t block) const {
    return static_cast<const Bf16*>(task_.packed) + block * 2 * kBlockValues;
  }

  void load_queries() {
    // A negative scale turns the queries, so that the largest score is that of the largest product.
    const I turn = _mm512_set1_epi16(task_.scale < 0 ? -0x8000 : 0);
    for (int64_t r = 0; r < memory_.groups * kPairRows; ++r) {
      const auto* from = r < task_.rows ? query(r) : nullptr;
      for (int64_t part = 0; part < kDim / kPairLanes; ++part) {
        const I words = from ? _mm512_xor_si512(_mm512_loadu_si512(from + part * kPairLanes), turn)
                             : _mm512_setzero_si512();
        Bf16* group = memory_.q + r / kPairRows * kPairRows * kDim;
        _mm512_store_si512(group + (part * 2 + r % kPairRows / 16) * kTileValues + r % 16 * kPairLanes,
                           words);
      }
      for (int64_t d = 0; d < kDim; d += kLanes) store(memory_.acc + r * kDim + d, zero());
      store(memory_.sums + r * kLanes, zero());
      memory_.centre[r] = -__builtin_inff();
    }
  }
  const Bf16* query(int64_t row) const {
    return static_cast<const Bf16*>(task_.q_rows ? task_.q_rows[row] : task_.q) +
           (task_.q_rows ? 0 : row * task_.q_stride);
  }
  Bf16* result(int64_t row) const {
    return static_cast<Bf16*>(task_.out_rows ? task_.out_rows[row] : task_.out) +
           (task_.out_rows ? 0 : row * task_.out_stride);
  }

  Products scores_of(const Step& step, int64_t i) const {
    return {memory_.q + step.group * kPairRows * kDim, keys(step.block), memory_.scores[i % 2],
            kDim / kPairLanes, false};
  }
  Products results_of(const Step& step, int64_t i) const {
    return {memory_.weights[i % 2], keys(step.block) + kBlockValues,
            memory_.acc + step.group * kPairRows * kDim, kBlockKeys / kPairLanes, true};
  }

  static void multiply(Products products) {
    finish_stores();
    for (int64_t unit = 0; unit < kUnits; ++unit) {
      products.upper();
      products.lower();
    }
    products.keep();
    finish_stores();
  }

  // The scores of step i become weights, a row after the other. Between rows, products of the steps after and before.
  template <bool kNext, bool kBefore>
  void weigh(int64_t i, const Step& before, const Step& step, const Step& next) {
    if constexpr (kNext) {
      weigh_half<true>(i, step, 0, scores_of(next, i + 1));
    } else {
      weigh_half<false>(i, step, 0, {});
    }
    if constexpr (kBefore) {
      weigh_half<true>(i, step, 1, results_of(before, i - 1));
    } else {
      weigh_half<false>(i, step, 1, {});
    }
  }

  template <bool kMultiplies>
  void weigh_half(int64_t i, const Step& step, int64_t half, Products products) {
    const int64_t first = step.group * kPairRows + half * 16;
    const float* scores = memory_.scores[i % 2] + half * kTile;
    Bf16* weights = memory_.weights[i % 2] + half * kTileValues;
    for (int64_t r = 0; r < 16; ++r) {
      if constexpr (kMultiplies) {
        finish_stores();
        if (kUnits == 16) {
          products.upper();
          products.lower();
        } else {
          r % 2 == 0 ? products.upper() : products.lower();
        }
      }
      const int64_t row = first + r;
      if (row < task_.rows) {
        weigh_row(row, scores + r * 16, weights + r * kPairLanes, limit(row) - step.block * kBlockKeys);
      }
    }
    if constexpr (kMultiplies) products.keep();
    finish_stores();
  }

  // Parts of scores and weights of a row stand two tiles apart. Of the keys only the first `left` count.
  GLMOCR_INLINE void weigh_row(int64_t row, const float* scores, Bf16* weights, int64_t left) {
    constexpr int64_t kParts = kBlockKeys / kLanes;
    F v[kParts];
    for (int64_t c = 0; c < kParts; ++c) v[c] = load(scores + c * 2 * kTile);
    if (left < kBlockKeys) {
      for (int64_t c = 0; c < kParts; ++c) {
        const int64_t some = left - c * kLanes;
        const Mask seen = some >= kLanes ? 0xFFFF : some > 0 ? first_lanes(some) : 0;
        v[c] = select(seen, v[c], set(-__builtin_inff()));
      }
    }
    const F best = max(max(max(v[0], v[1]), max(v[2], v[3])), max(max(v[4], v[5]), max(v[6], v[7])));
    const F factor = set(factor_);
    if (is_far_above(best, factor, memory_.centre[row])) move_row(row, best);
    const F centre = set(memory_.centre[row]);
    F sum = load(memory_.sums + row * kLanes);
    for (int64_t c = 0; c < kParts; c += 2) {
      store_pairs(weights + c * kTileValues, weigh_pair(v[c], v[c + 1], factor, centre, sum));
    }
    store(memory_.sums + row * kLanes, sum);
  }

  float* acc_of(int64_t row, int64_t d) const {
    return memory_.acc + row / kPairRows * kPairRows * kDim + d / kLanes * 2 * kTile +
           row % kPairRows / 16 * kTile + row % 16 * 16;
  }

  __attribute__((noinline)) void move_row(int64_t row, F best) {
    const F change = move_centre(best, factor_, memory_.centre[row], memory_.sums + row * kLanes);
    for (int64_t d = 0; d < kDim; d += kLanes) store(acc_of(row, d), load(acc_of(row, d)) * change);
  }

  void store_results() const {
    for (int64_t r = 0; r < task_.rows; ++r) {
      Bf16* to = result(r);
      const F total = set(sum(load(memory_.sums + r * kLanes)));
      for (int64_t d = 0; d < kDim; d += kLanes) store(to + d, load(acc_of(r, d)) / total);
    }
  }

  const SegmentTask& task_;
  Memory memory_;
  float factor_;  // scores in base 2
};

// Values that are not finite become zeros. True where there was one.
bool take_out(Bf16* values, int64_t count) {
  bool found = false;
  const I exponent = _mm512_set1_epi16(0x7F80);
  for (int64_t i = 0; i < count; i += kPairLanes) {
    const I v = _mm512_load_si512(values + i);
    const __mmask32 bad = _mm512_cmpeq_epi16_mask(_mm512_and_si512(v, exponent), exponent);
    if (bad == 0) continue;
    found = true;
    _mm512_store_si512(values + i, _mm512_maskz_mov_epi16(~bad, v));
  }
  return found;
}

}  // namespace

int64_t segment_packed_bytes(int64_t keys, int64_t dim) {
  const bool taken = dim == 64 || dim == 128;
  return taken ? round_up(keys, kBlockKeys) * 2 * dim * static_cast<int64_t>(sizeof(Bf16)) : 0;
}

bool pack_segment(const KeyRows& rows, int64_t dim, bool finite, void* packed) {
  Bf16* to = static_cast<Bf16*>(packed);
  const auto row = [](const void* const* all, int64_t i) { return static_cast<const Bf16*>(all[i]); };
  for (int64_t i = 0; i < kBlockKeys; i += kPairColumns) {
    pack_right([&](int64_t key) { return row(rows.keys, i + key); }, rows.count - i, dim, to + i * dim);
  }
  to += kBlockKeys * dim;
  for (int64_t d = 0; d < dim; d += kPairColumns) {
    pack_right_pairs([&](int64_t key) { return row(rows.values, key) + d; }, rows.count, dim - d, kBlockKeys,
                     to + d * kBlockKeys);
  }
  return finite && take_out(to, kBlockKeys * dim);
}

int64_t tiled_segment_bytes(int64_t rows, int64_t dim) { return Memory(nullptr, rows, dim).bytes; }

void tiled_segment(const SegmentTask& task) {
  const TilesInUse tiles;
  static_cast<void>(tiles);
  if (task.dim == 64) {
    TiledSegment<64>(task).run();
  } else {
    TiledSegment<128>(task).run();
  }
}
#endif

}  // namespace glmocr::cpu::GLMOCR_ISA
