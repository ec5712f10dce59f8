// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "kernels/cpu/simd.h"

// Products of bf16 in pairs, by vdpbf16ps or in AMX tiles: what attention and dense products are built from.
// A panel has kPairColumns columns and k rows of the right operand, two neighbouring rows of k side by side:
// [k / 2][kPairColumns][2]. k is a multiple of kPairDepth; what the operands lack is filled with zeros.
#ifdef __AVX512BF16__
namespace glmocr::cpu::GLMOCR_ISA {

constexpr int64_t kPairColumns = 32;
constexpr int64_t kPairDepth = 32;

// A number that the compiler knows.
template <int64_t N>
struct Fixed {
  constexpr operator int64_t() const { return N; }
};

#ifdef __AMX_BF16__
constexpr int64_t kPairRows = 32;  // 2 × 2 tiles of sums

// gcc does not tell its optimiser that loading a tile reads memory.
GLMOCR_INLINE void finish_stores() { __asm__ volatile("" ::: "memory"); }

struct alignas(64) TileShapes {
  uint8_t palette = 1, start_row = 0, reserved[14] = {};
  uint16_t row_bytes[16] = {};
  uint8_t rows[16] = {};
};

// While it lives, the tiles of this thread are 16 rows of 64 bytes.
class TilesInUse {
 public:
  TilesInUse() {
    TileShapes shapes;
    for (int tile = 0; tile < 8; ++tile) {
      shapes.row_bytes[tile] = 64;
      shapes.rows[tile] = 16;
    }
    finish_stores();
    _tile_loadconfig(&shapes);
  }
  ~TilesInUse() { _tile_release(); }
  TilesInUse(const TilesInUse&) = delete;
  TilesInUse& operator=(const TilesInUse&) = delete;
};

// c [32, 32] (+)= a [32, k] · panel. Tiles 0 to 3 hold sums, 4 and 5 rows of a, 6 and 7 columns of the panel.
inline void multiply_tiles(int64_t k, const Bf16* a, int64_t a_stride, const Bf16* panel, float* c,
                           int64_t c_stride, bool add) {
  const int64_t a_bytes = a_stride * 2, c_bytes = c_stride * 4, panel_bytes = kPairColumns * 4;
  float* lower = c + 16 * c_stride;
  finish_stores();
  if (add) {
    _tile_loadd(0, c, c_bytes);
    _tile_loadd(1, c + 16, c_bytes);
    _tile_loadd(2, lower, c_bytes);
    _tile_loadd(3, lower + 16, c_bytes);
  } else {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
  }
  for (int64_t i = 0; i < k; i += kPairDepth) {
    _tile_loadd(6, panel, panel_bytes);
    _tile_loadd(4, a + i, a_bytes);
    _tile_dpbf16ps(0, 4, 6);
    _tile_loadd(7, panel + 32, panel_bytes);
    _tile_dpbf16ps(1, 4, 7);
    _tile_loadd(5, a + 16 * a_stride + i, a_bytes);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
    panel += kPairDepth * kPairColumns;
  }
  _tile_stored(0, c, c_bytes);
  _tile_stored(1, c + 16, c_bytes);
  _tile_stored(2, lower, c_bytes);
  _tile_stored(3, lower + 16, c_bytes);
}

// c [rows, 32] (+)= a [rows, k] · panel; rows is a multiple of kPairRows. Strides are numbers or Fixed.
template <class AStride, class CStride>
inline void multiply_pairs(int64_t rows, int64_t k, const Bf16* a, AStride a_stride, const Bf16* panel,
                           float* c, CStride c_stride, bool add) {
  for (int64_t r = 0; r < rows; r += kPairRows) {
    multiply_tiles(k, a + r * a_stride, a_stride, panel, c + r * c_stride, c_stride, add);
  }
}
#else
constexpr int64_t kPairRows = 12;  // 12 × 2 sums of 32 registers

class TilesInUse {};  // vectors need no preparation

GLMOCR_INLINE Pairs broadcast_pair(const Bf16* p) {
  return reinterpret_cast<Pairs>(_mm512_set1_epi32(*reinterpret_cast<const int32_t*>(p)));
}

// c [rows, 32] (+)= a [rows, k] · panel; rows is a multiple of kPairRows. Strides are numbers or Fixed: with
// those that the compiler knows one register holds the addresses of all rows.
template <class AStride, class CStride>
inline void multiply_pairs(int64_t rows, int64_t k, const Bf16* a, AStride a_stride, const Bf16* panel,
                           float* c, CStride c_stride, bool add) {
  constexpr int R = kPairRows;
  for (int64_t first = 0; first < rows; first += R) {
    const Bf16 *row = a + first * a_stride, *columns = panel;
    float* to = c + first * c_stride;
    F sums[R][2];
    for (int r = 0; r < R; ++r) {
      sums[r][0] = add ? load(to + r * c_stride) : zero();
      sums[r][1] = add ? load(to + r * c_stride + kLanes) : zero();
    }
    for (int64_t i = 0; i < k; i += 2) {
      const Pairs left = load_pairs(columns), right = load_pairs(columns + kPairLanes);
      columns += 2 * kPairColumns;
      for (int r = 0; r < R; ++r) {
        const Pairs value = broadcast_pair(row + r * a_stride + i);
        sums[r][0] = add_products(value, left, sums[r][0]);
        sums[r][1] = add_products(value, right, sums[r][1]);
      }
    }
    for (int r = 0; r < R; ++r) {
      store(to + r * c_stride, sums[r][0]);
      store(to + r * c_stride + kLanes, sums[r][1]);
    }
  }
}
#endif

// `count` rows of k values each, row(i) the address of the first, become the columns of a panel; the panel is
// filled up with zeros.
template <class RowAt>
GLMOCR_INLINE void pack_rows(RowAt row, int64_t count, int64_t k, Bf16* panel) {
  for (int64_t group = 0; group < kPairColumns; group += kLanes) {
    const int64_t some = count - group;
    for (int64_t i = 0; i < k; i += kPairDepth) {
      F v[kLanes];
      for (int lane = 0; lane < kLanes; ++lane) {
        v[lane] = lane < some ? load_words(row(group + lane) + i, k - i) : zero();
      }
      transpose(v);
      Bf16* to = panel + i * kPairColumns + 2 * group;
      for (int lane = 0; lane < kLanes; ++lane) store_words(to + lane * 2 * kPairColumns, v[lane]);
    }
  }
}

// Up to kPairColumns columns of `count` rows, row(i) the address of the first of `width` columns, become a
// panel; the panel is filled up with zeros to `k` rows.
template <class RowAt>
GLMOCR_INLINE void pack_columns(RowAt row, int64_t count, int64_t width, int64_t k, Bf16* panel) {
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
    Bf16* to = panel + i * kPairColumns;
    _mm512_storeu_si512(to, _mm512_permutex2var_epi16(even, first, odd));
    _mm512_storeu_si512(to + kPairLanes, _mm512_permutex2var_epi16(even, second, odd));
  }
}

}  // namespace glmocr::cpu::GLMOCR_ISA
#endif
