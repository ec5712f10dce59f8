// SPDX-License-Identifier: Apache-2.0
#include "kernels/cpu/simd_finish.h"
#include "kernels/cpu/simd_kernels.h"
#include "kernels/cpu/simd_pairs.h"

// Products of bf16 in AMX tiles with weights that were packed at load. A sum has one order: steps of kPairDepth values, one
// after the other, whatever rows and columns it stands among. Sums of 32 × 32 stand in memory as four tiles of
// neighbouring lines: upper left, upper right, lower left, lower right.
namespace glmocr::cpu::GLMOCR_ISA {

#ifdef __AMX_BF16__
namespace {

// The columns of so many values of k stay in the first-level cache while all rows pass by.
constexpr int64_t kTileDepth = 512;
constexpr int64_t kTileFloats = 16 * 16;
constexpr int64_t kBlockFloats = 4 * kTileFloats;
constexpr int64_t kLine = 64;

void load_sums(const float* sums) {
  finish_stores();
  _tile_loadd(0, sums, 64);
  _tile_loadd(1, sums + kTileFloats, 64);
  _tile_loadd(2, sums + 2 * kTileFloats, 64);
  _tile_loadd(3, sums + 3 * kTileFloats, 64);
}

void clear_sums() {
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
}

void store_sums(float* sums) {
  _tile_stored(0, sums, 64);
  _tile_stored(1, sums + kTileFloats, 64);
  _tile_stored(2, sums + 2 * kTileFloats, 64);
  _tile_stored(3, sums + 3 * kTileFloats, 64);
  finish_stores();
}

// One step: the tiles 4 and 5 hold rows, 6 and 7 columns.
GLMOCR_INLINE void add_step(const Bf16* rows, const Bf16* columns) {
  _tile_loadd(6, columns, 64);
  _tile_loadd(7, columns + 512, 64);
  _tile_loadd(4, rows, 64);
  _tile_loadd(5, rows + 512, 64);
  _tile_dpbf16ps(0, 4, 6);
  _tile_dpbf16ps(1, 4, 7);
  _tile_dpbf16ps(2, 5, 6);
  _tile_dpbf16ps(3, 5, 7);
}

// Lines that are fetched into the second-level cache on the way, so many for each step.
struct Ahead {
  const char* next;
  int64_t lines;
};

GLMOCR_INLINE void multiply_groups(int64_t depth, const Bf16* rows, const Bf16* columns, Ahead& ahead) {
  constexpr int64_t kStep = kPairRows * kPairDepth;
  finish_stores();
  for (int64_t i = 0; i < depth; i += kPairDepth) {
    for (int64_t line = 0; line < ahead.lines; ++line) __builtin_prefetch(ahead.next + line * kLine, 0, 2);
    ahead.next += ahead.lines * kLine;
    add_step(rows, columns);
    rows += kStep;
    columns += kStep;
  }
}

// Of a block of 32 × 32.
struct TileSums {
  static constexpr int64_t kHigh = kTileFloats;
  const float* first;

  const float* operator()(int64_t r) const { return first + r / 16 * 2 * kTileFloats + r % 16 * 16; }
};

}  // namespace

int64_t tile_work_bytes(int64_t m) {
  return (round_up(m, kPairRows) / kPairRows + 1) * kBlockFloats * static_cast<int64_t>(sizeof(float));
}

void tiles_many(const TilesTask& task) {
  const TilesInUse tiles;
  static_cast<void>(tiles);
  const int64_t depth = round_up(task.k, kPairDepth), groups = round_up(task.m, kPairRows) / kPairRows;
  const auto* x = static_cast<const Bf16*>(task.x);
  const auto* panel = static_cast<const Bf16*>(task.panels);
  auto* last = static_cast<float*>(task.work);
  const int64_t lines = (kPairDepth + groups - 1) / groups;
  for (int64_t column = 0; column < task.n; column += kPairColumns, panel += kPairColumns * depth) {
    for (int64_t at = 0; at < depth; at += kTileDepth) {
      const int64_t pass = depth - at < kTileDepth ? depth - at : kTileDepth;
      const Bf16* columns = panel + at * kPairColumns;
      Ahead ahead{reinterpret_cast<const char*>(columns + pass * kPairColumns), lines};
      for (int64_t group = 0; group < groups; ++group) {
        float* sums = last + (group + 1) * kBlockFloats;
        at == 0 ? clear_sums() : load_sums(sums);
        multiply_groups(pass, x + (group * depth + at) * kPairRows, columns, ahead);
        if (at + pass < depth) {
          store_sums(sums);
        } else {
          store_sums(last);
          const int64_t row = group * kPairRows, rows = task.m - row < kPairRows ? task.m - row : kPairRows;
          finish_block(task, TileSums{last}, row, rows, column);
        }
      }
    }
  }
}

// Bound by reading the panels, one stream from memory.
void tiles_few(const TilesTask& task) {
  const int64_t upper = task.m < 16 ? task.m : 16, lower = task.m - upper;
  const TilesInUse tiles(upper, lower > 0 ? lower : 1);
  static_cast<void>(tiles);
  constexpr int64_t kAhead = 16 << 10;
  const int64_t depth = round_up(task.k, kPairDepth), stride = task.x_stride * 2;
  const auto* x = static_cast<const Bf16*>(task.x);
  const auto* panel = static_cast<const Bf16*>(task.panels);
  auto* sums = static_cast<float*>(task.work);
  for (int64_t column = 0; column < task.n; column += kPairColumns) {
    clear_sums();
    finish_stores();
    for (int64_t i = 0; i < depth; i += kPairDepth, panel += kPairDepth * kPairColumns) {
      for (int64_t line = 0; line < kPairDepth; ++line) {
        __builtin_prefetch(reinterpret_cast<const char*>(panel) + kAhead + line * kLine, 0, 2);
      }
      _tile_loadd(6, panel, 64);
      _tile_loadd(7, panel + 512, 64);
      _tile_loadd(4, x + i, stride);
      _tile_dpbf16ps(0, 4, 6);
      _tile_dpbf16ps(1, 4, 7);
      if (lower > 0) {
        _tile_loadd(5, x + 16 * task.x_stride + i, stride);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
      }
    }
    store_sums(sums);
    finish_block(task, TileSums{sums}, 0, task.m, column);
  }
}
#endif

}  // namespace glmocr::cpu::GLMOCR_ISA
