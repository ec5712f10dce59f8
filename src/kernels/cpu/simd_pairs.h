// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "kernels/cpu/simd.h"

// Products of bf16 in pairs, by vdpbf16ps or in AMX tiles: what attention and dense products are built from.
// A panel has kPairColumns columns and k rows of the right operand, two neighbouring rows of k side by side. They
// lie as a product takes them (Panel). k is a multiple of kPairDepth; what the operands lack is filled with zeros.
#ifdef __AVX512BF16__
namespace glmocr::cpu::GLMOCR_ISA {

constexpr int64_t kPairColumns = 32;
constexpr int64_t kPairDepth = 32;

// A number that the compiler knows.
template <int64_t N>
struct Fixed {
  constexpr operator int64_t() const { return N; }
};

// kPairRows rows of the left operand: where the first begins, the distance of rows, and that of steps along k.
// multiply_pairs(k, left, panel, c, c_stride, add) does c [kPairRows, kPairColumns] (+)= left · panel. Distances
// are numbers or Fixed: what the compiler knows takes no register.
template <class Stride, class Step>
struct Left {
  const Bf16* data;
  Stride stride;
  Step step;
};

#ifdef __AMX_BF16__
constexpr int64_t kPairRows = 32;   // 2 × 2 tiles of sums
constexpr int64_t kStepDepth = 32;  // values that a product takes at once

// [k / 32][2][16 pairs][16][2]: tiles, whose loading is fastest from neighbouring lines.
struct Panel {
  // Where 16 columns, the first or the second half, of rows 2 · pair and 2 · pair + 1 are.
  template <class T>
  static T* word(T* panel, int64_t pair, int64_t half) {
    return panel + pair / 16 * 1024 + half * 512 + pair % 16 * 32;
  }
};

// gcc does not tell its optimiser that loading a tile reads memory.
GLMOCR_INLINE void finish_stores() { __asm__ volatile("" ::: "memory"); }

struct alignas(64) TileShapes {
  uint8_t palette = 1, start_row = 0, reserved[14] = {};
  uint16_t row_bytes[16] = {};
  uint8_t rows[16] = {};
};

// While it lives, the tiles of this thread are 16 rows of 64 bytes; those of rows of the left operand and of sums have so
// many rows as are asked for, the upper and the lower ones.
class TilesInUse {
 public:
  TilesInUse() : TilesInUse(16, 16) {}
  TilesInUse(int64_t upper, int64_t lower) {
    TileShapes shapes;
    for (int tile = 0; tile < 8; ++tile) shapes.row_bytes[tile] = 64;
    shapes.rows[0] = shapes.rows[1] = shapes.rows[4] = static_cast<uint8_t>(upper);
    shapes.rows[2] = shapes.rows[3] = shapes.rows[5] = static_cast<uint8_t>(lower);
    shapes.rows[6] = shapes.rows[7] = 16;
    finish_stores();
    _tile_loadconfig(&shapes);
  }
  ~TilesInUse() { _tile_release(); }
  TilesInUse(const TilesInUse&) = delete;
  TilesInUse& operator=(const TilesInUse&) = delete;
};

// Tiles 0 to 3 hold sums, 4 and 5 rows of the left operand, 6 and 7 columns of the panel.
template <class Stride, class Step, class CStride>
inline void multiply_pairs(int64_t k, const Left<Stride, Step>& left, const Bf16* panel, float* c,
                           CStride c_stride, bool add) {
  const int64_t left_bytes = left.stride * 2, c_bytes = c_stride * 4, panel_bytes = 64;
  const Bf16 *upper = left.data, *lower = left.data + 16 * left.stride;
  float* lower_c = c + 16 * c_stride;
  finish_stores();
  if (add) {
    _tile_loadd(0, c, c_bytes);
    _tile_loadd(1, c + 16, c_bytes);
    _tile_loadd(2, lower_c, c_bytes);
    _tile_loadd(3, lower_c + 16, c_bytes);
  } else {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
  }
  for (int64_t i = 0; i < k; i += kPairDepth) {
    _tile_loadd(6, panel, panel_bytes);
    _tile_loadd(7, Panel::word(panel, 0, 1), panel_bytes);
    _tile_loadd(4, upper, left_bytes);
    _tile_loadd(5, lower, left_bytes);
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
    panel += kPairDepth * kPairColumns;
    upper += left.step;
    lower += left.step;
  }
  _tile_stored(0, c, c_bytes);
  _tile_stored(1, c + 16, c_bytes);
  _tile_stored(2, lower_c, c_bytes);
  _tile_stored(3, lower_c + 16, c_bytes);
}
#else
constexpr int64_t kPairRows = 12;  // 12 × 2 sums of 32 registers
constexpr int64_t kStepDepth = 2;

// [k / 2][kPairColumns][2].
struct Panel {
  template <class T>
  static T* word(T* panel, int64_t pair, int64_t half) {
    return panel + pair * 2 * kPairColumns + half * kPairLanes;
  }
};

class TilesInUse {};  // vectors need no preparation

GLMOCR_INLINE Pairs broadcast_pair(const Bf16* p) {
  int32_t pair;
  __builtin_memcpy(&pair, p, sizeof pair);
  return reinterpret_cast<Pairs>(_mm512_set1_epi32(pair));
}

template <class Stride, class Step, class CStride>
inline void multiply_pairs(int64_t k, const Left<Stride, Step>& left, const Bf16* panel, float* c,
                           CStride c_stride, bool add) {
  constexpr int R = kPairRows;
  const Bf16* rows = left.data;
  F sums[R][2];
  for (int r = 0; r < R; ++r) {
    sums[r][0] = add ? load(c + r * c_stride) : zero();
    sums[r][1] = add ? load(c + r * c_stride + kLanes) : zero();
  }
  for (int64_t i = 0; i < k; i += kStepDepth) {
    const Pairs first = load_pairs(panel), second = load_pairs(panel + kPairLanes);
    for (int r = 0; r < R; ++r) {
      const Pairs value = broadcast_pair(rows + r * left.stride);
      sums[r][0] = add_products(value, first, sums[r][0]);
      sums[r][1] = add_products(value, second, sums[r][1]);
    }
    panel += kStepDepth * kPairColumns;
    rows += left.step;
  }
  for (int r = 0; r < R; ++r) {
    store(c + r * c_stride, sums[r][0]);
    store(c + r * c_stride + kLanes, sums[r][1]);
  }
}
#endif

// Rows of a matrix as the left operand, and rows that pack_left has brought together step by step.
template <class Stride>
GLMOCR_INLINE Left<Stride, Fixed<kStepDepth>> rows_of(const Bf16* data, Stride stride) {
  return {data, stride, {}};
}
GLMOCR_INLINE Left<Fixed<kStepDepth>, Fixed<kPairRows * kStepDepth>> packed_rows(const Bf16* data) {
  return {data, {}, {}};
}

// `count` rows of k values each become the left operand, filled up with zeros:
// [k / kStepDepth][kPairRows][kStepDepth].
template <class RowAt>
GLMOCR_INLINE void pack_left(RowAt row, int64_t count, int64_t k, Bf16* to) {
  if constexpr (kStepDepth == kPairDepth) {
    // A row after the other: it is read from its beginning to its end.
    for (int64_t r = 0; r < kPairRows; ++r) {
      for (int64_t i = 0; i < k; i += kPairDepth) {
        store_words(to + i * kPairRows + r * kPairDepth, r < count ? load_words(row(r) + i, k - i) : zero());
      }
    }
  } else {
    for (int64_t i = 0; i < k; i += kPairDepth, to += kPairRows * kPairDepth) {
      F v[kLanes];
      for (int64_t r = 0; r < kLanes; ++r) v[r] = r < count ? load_words(row(r) + i, k - i) : zero();
      transpose(v);
      for (int64_t lane = 0; lane < kLanes; ++lane) {
        store_part(reinterpret_cast<float*>(to) + lane * kPairRows, v[lane], kPairRows);
      }
    }
  }
}

// `count` rows of k values each, row(i) the address of the first, become the columns of a panel; the panel is
// filled up with zeros.
template <class RowAt>
GLMOCR_INLINE void pack_right(RowAt row, int64_t count, int64_t k, Bf16* panel) {
  for (int64_t group = 0; group < kPairColumns; group += kLanes) {
    const int64_t some = count - group;
    for (int64_t i = 0; i < k; i += kPairDepth) {
      F v[kLanes];
      for (int lane = 0; lane < kLanes; ++lane) {
        v[lane] = lane < some ? load_words(row(group + lane) + i, k - i) : zero();
      }
      transpose(v);
      for (int lane = 0; lane < kLanes; ++lane) {
        store_words(Panel::word(panel, i / 2 + lane, group / kLanes), v[lane]);
      }
    }
  }
}

// Up to kPairColumns columns of `count` rows, row(i) the address of the first of `width` columns, become a
// panel; the panel is filled up with zeros to `k` rows.
template <class RowAt>
GLMOCR_INLINE void pack_right_pairs(RowAt row, int64_t count, int64_t width, int64_t k, Bf16* panel) {
  const auto words = [&](int64_t i) {
    return i < count ? reinterpret_cast<I>(load_words(row(i), width)) : _mm512_setzero_si512();
  };
  alignas(64) uint16_t low[32], high[32];
  for (int i = 0; i < 16; ++i) {
    low[2 * i] = static_cast<uint16_t>(i);
    low[2 * i + 1] = static_cast<uint16_t>(32 + i);
    high[2 * i] = static_cast<uint16_t>(16 + i);
    high[2 * i + 1] = static_cast<uint16_t>(48 + i);
  }
  const I first = _mm512_load_si512(low), second = _mm512_load_si512(high);
  for (int64_t i = 0; i < k; i += 2) {
    const I even = words(i), odd = words(i + 1);
    _mm512_storeu_si512(Panel::word(panel, i / 2, 0), _mm512_permutex2var_epi16(even, first, odd));
    _mm512_storeu_si512(Panel::word(panel, i / 2, 1), _mm512_permutex2var_epi16(even, second, odd));
  }
}

}  // namespace glmocr::cpu::GLMOCR_ISA
#endif
