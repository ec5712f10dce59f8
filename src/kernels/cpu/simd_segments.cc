// SPDX-License-Identifier: Apache-2.0
#include "kernels/cpu/simd_carver.h"
#include "kernels/cpu/simd_kernels.h"
#include "kernels/cpu/simd_pairs.h"
#include "kernels/cpu/simd_weights.h"

// Attention over whole segments where bf16 is multiplied in pairs: softmax(q·kᵀ·scale)·v over blocks of keys,
// weights rounded to bf16 as ref does (simd_weights.h). Both products go through multiply_pairs.
namespace glmocr::cpu::GLMOCR_ISA {

#ifdef __AVX512BF16__
namespace {

// Keys packed at once: those of the tiles pay for loading and storing what was summed so far, those of the
// vectors stay in the first-level cache.
constexpr int64_t kBlockKeys = 128;

// The width of q, keys and values as products want it.
static_assert(kPairDepth == kPairColumns);
int64_t width_of(int64_t dim) { return round_up(dim, kPairDepth); }

struct Memory {
  int64_t rows;   // a multiple of kPairRows
  Bf16* q;        // [rows, width]
  float* acc;     // [rows, width], Σ weight · value
  float* sums;    // [rows, kLanes], parts of Σ weight
  float* centre;  // [rows], the whole number that weights are relative to
  Bf16* keys;     // panels of kPairColumns keys, [kBlockKeys / kPairColumns][width]
  Bf16* values;   // panels of kPairColumns values, [width / kPairColumns][kBlockKeys]
  float* scores;  // [kPairRows, kBlockKeys]
  Bf16* weights;  // [kPairRows, kBlockKeys]
  int64_t bytes;

  Memory(void* from, int64_t all_rows, int64_t width) : rows(round_up(all_rows, kPairRows)) {
    Carver carver{static_cast<char*>(from)};
    q = carver.take<Bf16>(rows * width);
    acc = carver.take<float>(rows * width);
    sums = carver.take<float>(rows * kLanes);
    centre = carver.take<float>(rows);
    keys = carver.take<Bf16>(kBlockKeys * width);
    values = carver.take<Bf16>(kBlockKeys * width);
    scores = carver.take<float>(kPairRows * kBlockKeys);
    weights = carver.take<Bf16>(kPairRows * kBlockKeys);
    bytes = carver.used;
  }
};

// Width: int64_t, or Fixed where it is a usual one.
template <class Width>
class Segment {
 public:
  Segment(const SegmentTask& task, Width width)
      : task_(task),
        width_(width),
        memory_(task.work, task.rows, width),
        factor_(__builtin_fabsf(task.scale) * 1.44269504f) {}

  void run() {
    load_queries();
    for (int64_t first = 0; first < task_.keys; first += kBlockKeys) {
      const int64_t left = task_.keys - first, count = left < kBlockKeys ? left : kBlockKeys;
      pack(first, count);
      for (int64_t row = 0; row < task_.rows; row += kPairRows) add_block(row, count);
    }
    store_results();
  }

 private:
  static const Bf16* at(const void* data, int64_t offset) { return static_cast<const Bf16*>(data) + offset; }

  void load_queries() {
    // A negative scale turns the queries, so that the largest score is that of the largest product.
    const I turn = _mm512_set1_epi16(task_.scale < 0 ? -0x8000 : 0);
    for (int64_t r = 0; r < memory_.rows; ++r) {
      for (int64_t d = 0; d < width_; d += kPairLanes) {
        const F words =
            r < task_.rows ? load_words(at(task_.q, r * task_.q_stride) + d, task_.dim - d) : zero();
        store_words(memory_.q + r * width_ + d,
                    _mm512_castsi512_ps(_mm512_xor_si512(_mm512_castps_si512(words), turn)));
      }
      for (int64_t d = 0; d < width_; d += kLanes) store(memory_.acc + r * width_ + d, zero());
      store(memory_.sums + r * kLanes, zero());
      memory_.centre[r] = -__builtin_inff();
    }
  }

  // The keys and values of a block become panels; those of the next are prefetched.
  void pack(int64_t first, int64_t count) {
    const Bf16 *k = at(task_.k, first * task_.k_stride), *v = at(task_.v, first * task_.v_stride);
    for (int64_t i = 0; i < kBlockKeys; i += kPairColumns) {
      pack_right([&](int64_t key) { return k + (i + key) * task_.k_stride; }, count - i, task_.dim,
                 memory_.keys + i * width_);
    }
    for (int64_t d = 0; d < width_; d += kPairColumns) {
      pack_right_pairs([&](int64_t key) { return v + key * task_.v_stride + d; }, count, task_.dim - d,
                       kBlockKeys, memory_.values + d * kBlockKeys);
    }
    const int64_t after = task_.keys - first - count, next = after < kBlockKeys ? after : kBlockKeys;
    for (int64_t i = count; i < count + next; ++i) {
      for (int64_t d = 0; d < task_.dim; d += kPairLanes) {
        __builtin_prefetch(k + i * task_.k_stride + d, 0, 2);
        __builtin_prefetch(v + i * task_.v_stride + d, 0, 2);
      }
    }
  }

  void add_block(int64_t row, int64_t count) {
    for (int64_t i = 0; i < kBlockKeys; i += kPairColumns) {
      multiply_pairs(width_, rows_of(memory_.q + row * width_, width_), memory_.keys + i * width_,
                     memory_.scores + i, Fixed<kBlockKeys>{}, false);
    }
    const int64_t rows = task_.rows - row < kPairRows ? task_.rows - row : kPairRows;
    for (int64_t r = 0; r < rows; ++r) weigh(row + r, memory_.scores + r * kBlockKeys, count, r);
    const auto weights = rows_of(memory_.weights, Fixed<kBlockKeys>{});
    for (int64_t d = 0; d < width_; d += kPairColumns) {
      multiply_pairs(kBlockKeys, weights, memory_.values + d * kBlockKeys, memory_.acc + row * width_ + d,
                     width_, true);
    }
  }

  // The scores of a row become weights, and their sum is taken in.
  GLMOCR_INLINE void weigh(int64_t row, float* scores, int64_t count, int64_t r) {
    if (count < kBlockKeys) {
      for (int64_t i = count; i < kBlockKeys; ++i) scores[i] = -__builtin_inff();
    }
    F best = load(scores);
    for (int64_t i = kLanes; i < kBlockKeys; i += kLanes) best = max(best, load(scores + i));
    const F factor = set(factor_);
    if (is_far_above(best, factor, memory_.centre[row])) move_row(row, best);
    const F centre = set(memory_.centre[row]);
    F sum = load(memory_.sums + row * kLanes);
    Bf16* weights = memory_.weights + r * kBlockKeys;
    for (int64_t i = 0; i < kBlockKeys; i += kPairLanes) {
      store_pairs(weights + i, weigh_pair(load(scores + i), load(scores + i + kLanes), factor, centre, sum));
    }
    store(memory_.sums + row * kLanes, sum);
  }

  __attribute__((noinline)) void move_row(int64_t row, F best) {
    const F change = move_centre(best, factor_, memory_.centre[row], memory_.sums + row * kLanes);
    float* acc = memory_.acc + row * width_;
    for (int64_t d = 0; d < width_; d += kLanes) store(acc + d, load(acc + d) * change);
  }

  void store_results() const {
    for (int64_t r = 0; r < task_.rows; ++r) {
      Bf16* to = static_cast<Bf16*>(task_.out) + r * task_.out_stride;
      const F total = set(sum(load(memory_.sums + r * kLanes)));
      for (int64_t d = 0; d < task_.dim; d += kLanes) {
        store_some(to + d, load(memory_.acc + r * width_ + d) / total, task_.dim - d);
      }
    }
  }

  const SegmentTask& task_;
  Width width_;
  Memory memory_;
  float factor_;  // scores in base 2
};

}  // namespace

int64_t segment_work_bytes(int64_t rows, int64_t dim) {
#ifdef __AMX_BF16__
  if (segment_packed_bytes(1, dim) > 0) return tiled_segment_bytes(rows, dim);
#endif
  return Memory(nullptr, rows, width_of(dim)).bytes;
}

void segment(const SegmentTask& task) {
#ifdef __AMX_BF16__
  if (task.packed) return tiled_segment(task);
#endif
  const TilesInUse tiles;
  static_cast<void>(tiles);
  const int64_t width = width_of(task.dim);
  if (width == 64) return Segment(task, Fixed<64>{}).run();
  Segment(task, width).run();
}
#endif

}  // namespace glmocr::cpu::GLMOCR_ISA
